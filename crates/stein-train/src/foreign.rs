//! Files of weights that another program wrote: checkpoints of PyTorch and safetensors.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use stein_record::arrays::ArrayFile;
use stein_record::source::nearest;
use stein_record::torch::{Checkpoint, Table, is_checkpoint};
use stein_record::{Array, RecordError, file, hash};

use crate::state_dict::{SIGMAS, Shapes, fixed, names, parameters};
use crate::{Layout, WhichWeights};

/// Where programs keep the weights themselves: the whole, the first of a list, and usual names.
const RAW: [&str; 8] = [".", "0", "model", "state_dict", "model_state_dict", "net", "network", "params"];
/// Where they keep an average of them, if not behind other things in a list, as NCSNv2 does.
const AVERAGED: [&str; 7] = [SHADOW, "ema", "ema_state_dict", "model_ema", "ema_model", "state_dict_ema", "params_ema"];
/// Where score_sde keeps its average: a list, in the order of the parameters.
const SHADOW: &str = "ema/shadow_params";
/// Where the number of training steps may be: NCSNv2's list, and usual names.
const STEP: [&str; 3] = ["3", "step", "global_step"];
/// Tables that are shown.
const SHOWN: usize = 8;

/// A file of weights. Of a checkpoint, the numbers are read when they are asked for.
#[derive(Debug)]
pub struct Foreign {
    path: PathBuf,
    sha256: String,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Torch(Box<Checkpoint>, Vec<Table>),
    Safetensors(ArrayFile),
}

/// Which of a file's tables is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The averaged weights if there are such, else the weights themselves.
    Best,
    /// Either of them.
    Of(WhichWeights),
    /// The table at a path.
    At(String),
}

/// A table that was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Its path: see [`Table`].
    pub path: String,
    /// What is known of the weights in it.
    pub weights: Option<WhichWeights>,
    /// Training steps behind it, if the file tells.
    pub step: Option<u64>,
}

impl Foreign {
    /// Opens a file; `None` if there is none.
    ///
    /// # Errors
    /// If it cannot be read, or is of neither format.
    pub fn open(path: &Path) -> Result<Option<Self>, RecordError> {
        let path = file::named(path);
        let Some(opened) = file::open(&path)? else { return Ok(None) };
        let unreadable = |e| RecordError::io(&path, "read", e);
        let sha256 = hash::sha256_of(&opened).map_err(unreadable)?;
        let mut start = Vec::new();
        File::open(&path).and_then(|f| f.take(16).read_to_end(&mut start)).map_err(unreadable)?;
        let damaged = || RecordError::damaged(&path, "it was there, and is gone");
        let content = if is_checkpoint(&start) {
            let checkpoint = Checkpoint::open(&path)?.ok_or_else(damaged)?;
            let tables = checkpoint.tables();
            Content::Torch(Box::new(checkpoint), tables)
        } else if start.get(8) == Some(&b'{') {
            Content::Safetensors(ArrayFile::read(&path)?.ok_or_else(damaged)?)
        } else {
            return Err(RecordError::damaged(&path, "it is neither a checkpoint of PyTorch nor a safetensors file"));
        };
        Ok(Some(Self { path, sha256, content }))
    }

    /// The file, links followed.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The SHA-256 of its bytes.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Whether `stein export` wrote it, of whatever parameterisation the experiment had.
    pub(crate) fn is_exported(&self) -> bool {
        matches!(&self.content, Content::Safetensors(file) if file.metadata.contains_key("stein"))
    }

    /// Finds a table.
    ///
    /// # Errors
    /// If there is none, with those that there are.
    pub fn choose(&self, which: &Which) -> Result<Chosen, String> {
        match &self.content {
            Content::Torch(checkpoint, tables) => chosen(checkpoint, tables, which),
            Content::Safetensors(file) => whole(file, which),
        }
    }

    /// How many tensors a table has.
    pub fn count(&self, chosen: &Chosen) -> usize {
        match &self.content {
            Content::Torch(_, tables) => table(tables, &chosen.path).map_or(0, |table| table.tensors.len()),
            Content::Safetensors(file) => file.arrays.len(),
        }
    }

    /// The parameters of a network in its layout.
    ///
    /// # Errors
    /// What the table has that the network has not, or the other way round; or what cannot be read.
    pub fn parameters(&mut self, chosen: &Chosen, layout: &Layout) -> Result<Vec<f32>, String> {
        self.name_average(layout);
        self.complete(&chosen.path, layout);
        let shapes = self.shapes(&chosen.path);
        shapes.check(layout)?;
        let most = layout.length();
        parameters(layout, |name| self.array(&chosen.path, &shapes.whole(name), most))
    }

    /// The ladder that came with the weights: the buffer `sigmas` beside them, or beside those that they are an average of.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn sigmas(&mut self, chosen: &Chosen) -> Result<Option<Vec<f32>>, String> {
        const MOST: usize = 1 << 20;
        for path in std::iter::once(chosen.path.as_str()).chain(RAW) {
            let shapes = self.shapes(path);
            if shapes.has(SIGMAS) {
                let array = self.array(path, &shapes.whole(SIGMAS), MOST);
                return array.map(|array| Some(array.data)).map_err(|problem| format!("`{SIGMAS}`: {problem}"));
            }
        }
        Ok(None)
    }

    /// Gives the averages of a list the names that the weights beside it have, of those that are trained.
    fn name_average(&mut self, layout: &Layout) {
        let Content::Torch(_, tables) = &mut self.content else { return };
        let Some(weights) = raw(tables) else { return };
        let (shapes, wanted, fixed) = (shapes_of(weights), names(layout), fixed(layout));
        let is_averaged = |name: &str| wanted.contains(name) && !fixed.contains(name);
        let own = weights.tensors.iter().map(|(name, _)| name.clone());
        let own: Vec<Rc<str>> = own.filter(|name| is_averaged(shapes.own(name))).collect();
        if let Some(average) = tables.iter_mut().find(|table| table.path == SHADOW && table.tensors.len() == own.len())
        {
            average.tensors.iter_mut().zip(own).for_each(|((name, _), own)| *name = own);
        }
    }

    /// Adds to an average what is never trained and so has none, out of the weights beside it.
    fn complete(&mut self, path: &str, layout: &Layout) {
        let Content::Torch(_, tables) = &mut self.content else { return };
        let (Some(weights), Some(own)) = (raw(tables), table(tables, path)) else { return };
        let (theirs, ours) = (shapes_of(weights), shapes_of(own));
        let missing = fixed(layout).into_iter().filter(|name| !ours.has(name) && theirs.has(name));
        let found = missing.filter_map(|name| {
            let (_, tensor) = weights.tensors.iter().rfind(|(whole, _)| **whole == *theirs.whole(&name))?;
            Some((Rc::<str>::from(ours.whole(&name)), tensor.clone()))
        });
        let found: Vec<_> = found.collect();
        if let Some(own) = tables.iter_mut().find(|table| table.path == path) {
            own.tensors.extend(found);
        }
    }

    fn shapes(&self, path: &str) -> Shapes {
        match &self.content {
            Content::Torch(_, tables) => table(tables, path).map(shapes_of).unwrap_or_default(),
            Content::Safetensors(file) => {
                Shapes::new(file.arrays.iter().map(|(name, array)| (name.as_str(), array.shape.as_slice())))
            }
        }
    }

    fn array(&mut self, path: &str, name: &str, most: usize) -> Result<Array, String> {
        let absent = || "it is not there".to_owned();
        match &mut self.content {
            Content::Torch(checkpoint, tables) => {
                // Where a name is there twice, the last one counts, as in Python.
                let tensors = table(tables, path).map_or(&[][..], |table| &table.tensors);
                let (_, tensor) = tensors.iter().rfind(|(own, _)| **own == *name).ok_or_else(absent)?;
                checkpoint.array(tensor, most)
            }
            Content::Safetensors(file) => file.arrays.get(name).cloned().ok_or_else(absent),
        }
    }
}

fn shapes_of(table: &Table) -> Shapes {
    Shapes::new(table.tensors.iter().map(|(name, tensor)| (&**name, tensor.shape())))
}

fn table<'a>(tables: &'a [Table], path: &str) -> Option<&'a Table> {
    tables.iter().find(|table| table.path == path)
}

/// The table of a safetensors file: the whole.
fn whole(file: &ArrayFile, which: &Which) -> Result<Chosen, String> {
    let about: Option<serde_json::Value> =
        file.metadata.get("stein").and_then(|about| serde_json::from_str(about).ok());
    let weights = match about.as_ref().and_then(|about| about.get("weights")?.as_str()) {
        Some("averaged") => Some(WhichWeights::Averaged),
        Some("last") => Some(WhichWeights::Last),
        _ => None,
    };
    let step = file.metadata.get("step").and_then(|step| step.parse().ok());
    let chosen = Chosen { path: ".".into(), weights, step };
    match (which, weights) {
        (Which::At(path), _) if path != "." => {
            Err(format!("a safetensors file is one table, `.`; there is no `{path}` in it"))
        }
        (Which::Of(asked), Some(there)) if *asked != there => {
            Err(format!("its weights are the {} ones, not the {}", there.word(), asked.word()))
        }
        _ => Ok(chosen),
    }
}

fn chosen(checkpoint: &Checkpoint, tables: &[Table], which: &Which) -> Result<Chosen, String> {
    if tables.is_empty() {
        return Err(format!("there is no state dict in it: it is {}", checkpoint.kind()));
    }
    let found = |table: Option<&Table>, weights| Some(Chosen { path: table?.path.clone(), weights, step: None });
    let averaged = || found(averaged(tables), Some(WhichWeights::Averaged));
    let last = || found(raw(tables), Some(WhichWeights::Last));
    let chosen = match which {
        Which::Best => averaged().or_else(last).ok_or("it does not show which of its tables are the weights"),
        Which::Of(WhichWeights::Averaged) => averaged().ok_or("there are no averaged weights in it that show as such"),
        Which::Of(WhichWeights::Last) => last().ok_or("it does not show which of its tables are the weights"),
        Which::At(path) => found(table(tables, path), None).ok_or("there is no such table in it"),
    };
    let step = STEP.iter().find_map(|path| u64::try_from(checkpoint.integer(path)?).ok());
    let chosen = chosen.map(|chosen| Chosen { step, ..chosen });
    chosen.map_err(|problem| {
        let near = match which {
            Which::At(path) => nearest(path, tables.iter().map(|table| table.path.as_str())),
            _ => None,
        };
        let near = near.map(|near| format!("; is `{near}` meant?")).unwrap_or_default();
        format!("{problem}{near}. Name one with --key:\n{}", listed(tables))
    })
}

/// The weights themselves: the largest of the tables that may be them, for a few tensors may lie beside one.
fn raw(tables: &[Table]) -> Option<&Table> {
    RAW.iter().rev().filter_map(|path| table(tables, path)).max_by_key(|table| table.tensors.len())
}

/// The averaged weights: by their name, or as the last of a list whose first are the weights themselves. An optimiser's tables lie
/// deeper.
fn averaged(tables: &[Table]) -> Option<&Table> {
    let in_list = || {
        let most = table(tables, "0")?.tensors.len();
        let number = |table: &Table| table.path.parse::<usize>().ok().filter(|&i| i > 0);
        // An average has all but the buffers.
        let others = tables.iter().filter(|table| number(table).is_some() && 2 * table.tensors.len() > most);
        others.max_by_key(|table| number(table))
    };
    AVERAGED.iter().find_map(|path| table(tables, path)).or_else(in_list)
}

/// The largest tables, a line each.
fn listed(tables: &[Table]) -> String {
    let mut sorted: Vec<&Table> = tables.iter().collect();
    sorted.sort_by_key(|table| std::cmp::Reverse(table.tensors.len()));
    let more = sorted.len().saturating_sub(SHOWN);
    let line = |table: &&Table| format!("  {}  {} tensors", table.path, table.tensors.len());
    let mut lines: Vec<String> = sorted.iter().take(SHOWN).map(line).collect();
    if more > 0 {
        lines.push(format!("  … and {more} more"));
    }
    lines.join("\n")
}
