//! `stein suggest`.

use serde_json::{Value, json};
use stein_core::Registry;
use stein_samplers::Technique4;
use stein_schedules::{Ends, MOST_OVERLAP, MOST_ROWS, largest_distance};

use super::arguments::{Suggest, Voice};
use super::{Failure, Outcome, load, print, print_json};

pub(crate) fn suggest(arguments: &Suggest, registry: &Registry, voice: Voice) -> Outcome {
    let question = Question::of(arguments, registry, voice)?;
    let found = Suggestion::of(question).map_err(Failure::usage)?;
    let Question { ends, steps_per_level, .. } = question;
    if arguments.json {
        let mut said = found.json();
        if arguments.file.is_some() {
            said["dim"] = json!(ends.dimension);
            said["sigma_max"] = json!(ends.sigma_max);
            said["sigma_min"] = json!(ends.sigma_min);
            said["steps_per_level"] = json!(steps_per_level);
        }
        print_json(&said);
    } else {
        let Ends { dimension, sigma_max, sigma_min } = ends;
        print(&format!("for         D = {dimension}, σ {sigma_max} to {sigma_min}, {steps_per_level} steps a level"));
        print(&found.text(question));
    }
    Ok(())
}

/// T, where nobody says: NCSNv2's for most of its data.
const STEPS_PER_LEVEL: usize = 5;

/// What a suggestion depends on.
#[derive(Clone, Copy)]
struct Question {
    ends: Ends,
    levels: Option<usize>,
    steps_per_level: usize,
    overlap: f64,
}

impl Question {
    fn of(arguments: &Suggest, registry: &Registry, voice: Voice) -> Result<Self, Failure> {
        let &Suggest { levels, steps_per_level, overlap, .. } = arguments;
        let (ends, steps) = match &arguments.file {
            Some(file) => {
                let plan = load::plan(file, &[], registry)?;
                let data = &plan.dataset;
                let last = plan.schedule.last();
                let sigma_min = arguments.sigma_min.or((!last.is_clean()).then_some(last.sigma / last.alpha));
                let sigma_min = sigma_min
                    .ok_or_else(|| Failure::usage("the experiment's schedule has no noise: give --sigma-min"))?;
                if arguments.sigma_max.is_none() && data.train.rows() > MOST_ROWS {
                    let n = data.train.rows();
                    voice.say(&format!("note: σ₁ is the largest distance between {MOST_ROWS} of {n} rows"));
                }
                let sigma_max = arguments.sigma_max.unwrap_or_else(|| largest_distance(data));
                let steps = plan.experiment.sampler.resolved().get("steps-per-level").and_then(|n| n.as_integer());
                (
                    Ends { dimension: data.dimension(), sigma_max, sigma_min },
                    steps.and_then(|n| usize::try_from(n).ok()),
                )
            }
            None => (Self::bare_ends(arguments)?, None),
        };
        let steps_per_level = steps_per_level.or(steps).unwrap_or(STEPS_PER_LEVEL);
        Ok(Self { ends, levels, steps_per_level, overlap })
    }

    fn bare_ends(arguments: &Suggest) -> Result<Ends, Failure> {
        let (Some(dimension), Some(sigma_max), Some(sigma_min)) =
            (arguments.dim, arguments.sigma_max, arguments.sigma_min)
        else {
            return Err(Failure::usage("without an experiment, --dim, --sigma-max and --sigma-min are needed"));
        };
        Ok(Ends { dimension, sigma_max, sigma_min })
    }
}

/// More levels would only be a mistake.
const MOST_LEVELS: f64 = 100_000.0;
/// σ₁/σ_L, far beyond what single precision can make of it.
const MOST_RANGE: f64 = 1e12;

/// A geometric ladder and the step sizes of annealed Langevin on it.
struct Suggestion {
    levels: usize,
    levels_exact: f64,
    gamma: f64,
    overlap: f64,
    step_size: f64,
    variance_ratio: f64,
    per_level: Vec<f64>,
    step_size_accumulated: f64,
    /// The variance at the end with that step size.
    accumulated: f64,
}

impl Suggestion {
    fn of(question: Question) -> Result<Self, String> {
        let Question { ends, levels, steps_per_level, overlap } = question;
        let Ends { sigma_max, sigma_min, .. } = ends;
        if sigma_min >= sigma_max {
            return Err(format!("--sigma-min is {sigma_min}; it must be below --sigma-max, {sigma_max}"));
        }
        if sigma_max / sigma_min > MOST_RANGE {
            return Err(format!(
                "--sigma-max is {:e} times --sigma-min; it must be at most {MOST_RANGE:e} times",
                sigma_max / sigma_min
            ));
        }
        if overlap >= MOST_OVERLAP {
            return Err(format!(
                "--overlap is {overlap}; it must be below {MOST_OVERLAP:.4}, the overlap of a level with itself"
            ));
        }
        let levels_exact = ends.levels(overlap);
        let levels = match levels {
            Some(levels) => levels,
            None if levels_exact > MOST_LEVELS => {
                return Err(format!(
                    "--overlap {overlap} takes {levels_exact:.0} levels; at most {MOST_LEVELS} are sensible"
                ));
            }
            None => levels_exact.ceil() as usize,
        };
        let gamma = ends.gamma(levels);
        let walk = Technique4 { gamma, steps_per_level };
        let (best, accumulated) = (walk.best_step(), walk.best_step_accumulated(levels));
        let last = sigma_min * sigma_min;
        Ok(Self {
            levels,
            levels_exact,
            gamma,
            overlap: ends.overlap(gamma),
            step_size: best * last,
            variance_ratio: walk.variance_ratio(best),
            per_level: walk.accumulated(best, levels),
            step_size_accumulated: accumulated * last,
            accumulated: walk.accumulated(accumulated, levels).last().copied().unwrap_or(f64::NAN),
        })
    }

    fn json(&self) -> Value {
        json!({
            "levels": self.levels,
            "levels_exact": self.levels_exact,
            "gamma": self.gamma,
            "overlap": self.overlap,
            "step_size": self.step_size,
            "variance_ratio": self.variance_ratio,
            "per_level": self.per_level,
            "step_size_accumulated": self.step_size_accumulated,
            "convention": "repository",
        })
    }

    fn text(&self, question: Question) -> String {
        let end = self.per_level.last().copied().unwrap_or(f64::NAN);
        [
            format!("levels      {} ({:.1} for an overlap of {})", self.levels, self.levels_exact, question.overlap),
            format!("γ           {:.6}", self.gamma),
            format!("overlap     {:.4}", self.overlap),
            format!(
                "step size   {:.3e}: variance {:.4} σ_i² after a level that began at σ_(i−1)², {end:.4} σ_L² after all of them",
                self.step_size, self.variance_ratio
            ),
            format!("            {:.3e}: {:.4} σ_L² after all, the best", self.step_size_accumulated, self.accumulated),
            "convention  repository, x + ε s + √(2ε) z; in the paper's, ε is twice that".to_owned(),
        ]
        .join("\n")
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::arguments::{Arguments, Command};
    use super::*;

    fn suggested(line: &str) -> Result<Value, String> {
        let arguments = Arguments::try_parse_from(["stein", "suggest"].into_iter().chain(line.split(' ')));
        let Command::Suggest(arguments) = arguments.map_err(|e| e.to_string())?.command else { unreachable!() };
        let voice = Voice { quiet: true, verbose: false };
        let question =
            Question::of(&arguments, &stein_experiment::builtin(), voice).unwrap_or_else(|_| panic!("{line}"));
        Suggestion::of(question).map(|found| found.json())
    }

    fn wrong(line: &str) -> String {
        suggested(line).unwrap_err()
    }

    fn holds(found: &Value, key: &str, expected: f64) {
        let value = found[key].as_f64().unwrap();
        assert!((value / expected - 1.0).abs() < 5e-4, "{key}: {value}, not {expected}");
    }

    #[test]
    fn cifar_10_and_celeba_are_ncsnv2s() {
        let found = suggested("--dim 3072 --sigma-max 50 --sigma-min 0.01 --levels 232 --steps-per-level 5").unwrap();
        assert_eq!((&found["levels"], &found["convention"]), (&json!(232), &json!("repository")));
        for (key, expected) in [
            ("levels_exact", 219.25),
            ("overlap", 0.5670),
            ("step_size", 6.184e-6),
            ("variance_ratio", 1.05547),
            ("step_size_accumulated", 1.149e-5),
        ] {
            holds(&found, key, expected);
        }
        let levels = found["per_level"].as_array().unwrap();
        assert_eq!(levels.len(), 232);
        assert!((levels[231].as_f64().unwrap() - 1.1286).abs() < 1e-4);

        let found = suggested("--dim 12288 --sigma-max 90 --sigma-min 0.01 --levels 500 --steps-per-level 5").unwrap();
        for (key, expected) in
            [("levels_exact", 472.22), ("overlap", 0.5669), ("step_size", 3.337e-6), ("variance_ratio", 1.03135)]
        {
            holds(&found, key, expected);
        }
    }

    #[test]
    fn levels_left_out_are_solved_for_and_rounded_up() {
        let found = suggested("--dim 3072 --sigma-max 50 --sigma-min 0.01").unwrap();
        assert_eq!(found["levels"], 220);
        assert!(found["overlap"].as_f64().unwrap() >= 0.5);
        let more = suggested("--dim 3072 --sigma-max 50 --sigma-min 0.01 --overlap 0.6").unwrap();
        assert!(more["levels"].as_u64().unwrap() > 230);
    }

    #[test]
    fn an_experiment_says_what_the_numbers_are() {
        let file = std::env::temp_dir().join(format!("stein-suggest-{}.toml", std::process::id()));
        let text = "[data]\nkind = \"gaussian-mixture\"\nmeans = [[0, 0, 0, 0, 0, 0, 0, 0, 0], [100, 0, 0, 0, 0, 0, 0, 0, 0]]\n\
                    std = 0.001\ntrain = 5000\n[schedule]\nsigma-min = 0.5\n[sampler]\nsteps-per-level = 3\n";
        std::fs::write(&file, text).unwrap();
        let arguments = Arguments::try_parse_from(["stein", "suggest", &file.display().to_string()]).unwrap();
        let Command::Suggest(arguments) = arguments.command else { unreachable!() };
        let voice = Voice { quiet: true, verbose: false };
        let question = Question::of(&arguments, &stein_experiment::builtin(), voice);
        std::fs::remove_file(&file).unwrap();
        let Question { ends, steps_per_level, .. } = question.unwrap_or_else(|_| panic!("{text}"));
        assert_eq!((ends.dimension, ends.sigma_min, steps_per_level), (9, 0.5, 3));
        assert!((ends.sigma_max - 100.0).abs() < 0.05, "{}", ends.sigma_max);
        assert!(wrong("--sigma-max 1 --sigma-min 0.1").contains("--dim"));
    }

    #[test]
    fn numbers_that_nothing_follows_from_are_refused() {
        assert!(wrong("--dim 10 --sigma-max 1 --sigma-min 1").contains("must be below --sigma-max, 1"));
        assert!(wrong("--dim 10 --sigma-max 1 --sigma-min 0").contains("above 0"));
        assert!(wrong("--dim 0 --sigma-max 1 --sigma-min 0.1").contains("--dim"));
        assert!(wrong("--dim 10 --sigma-max 1 --sigma-min 0.1 --levels 1").contains("--levels"));
        assert!(wrong("--dim 10 --sigma-max 1 --sigma-min 0.1 --steps-per-level 0").contains("--steps-per-level"));
        assert!(wrong("--dim 10 --sigma-max 1 --sigma-min 0.1 --overlap 0.998").contains("below 0.9973"));
        assert!(wrong("--dim 10 --sigma-max 1e9 --sigma-min 1e-9").contains("at most 1e12 times"));
        assert!(wrong("--dim 1000000000000 --sigma-max 9 --sigma-min 0.1").contains("at most 100000 are sensible"));
    }
}
