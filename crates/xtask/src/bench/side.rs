//! A program that answers questions, a line each, for as long as it is asked.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

pub(crate) struct Side {
    name: String,
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Side {
    /// Starts it with so many threads, however it counts them.
    pub(crate) fn start(mut command: Command, threads: usize) -> Result<Self, String> {
        let name = format!("{command:?}");
        for variable in ["RAYON_NUM_THREADS", "OMP_NUM_THREADS"] {
            command.env(variable, threads.to_string());
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("cannot start {name}: {e}"))?;
        let questions = child.stdin.take();
        let answers = child.stdout.take().ok_or("a program without an output")?;
        Ok(Self { name, child, questions, answers: BufReader::new(answers) })
    }

    /// The numbers that it answers with; none if it says "-": that it cannot tell.
    pub(crate) fn ask(&mut self, question: &str) -> Result<Vec<f64>, String> {
        let mut answer = String::new();
        if let Some(questions) = &mut self.questions {
            // A program that is gone does not answer either.
            let _ = writeln!(questions, "{question}");
        }
        let read = self.answers.read_line(&mut answer).map_err(|e| format!("{}: {e}", self.name))?;
        if read == 0 {
            return Err(format!("{} has no answer to {question:?}", self.name));
        }
        if answer.trim() == "-" {
            return Ok(Vec::new());
        }
        answer.trim().split('\t').map(|word| word.parse().map_err(|e| format!("{word:?}: {e}"))).collect()
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // Nothing more is asked: it ends.
        self.questions = None;
        let _ = self.child.wait();
    }
}
