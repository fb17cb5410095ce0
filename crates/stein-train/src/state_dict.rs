//! A network's parameters out of somebody else's state dict: every name must be there, and none may be left over.

use std::collections::{BTreeMap, BTreeSet};

use stein_record::Array;
use stein_record::source::nearest;

use crate::Layout;
use crate::flat::Entry;
use crate::weights::{torch_name, transpose};

/// The buffer in which NCSNv2 and the networks of the score SDE keep a ladder; no parameter.
pub(crate) const SIGMAS: &str = "sigmas";
/// What PyTorch's `DataParallel` puts in front of every name.
const PARALLEL: &str = "module.";
/// Names of a kind of difference that are shown.
const SHOWN: usize = 5;

/// The shapes of a state dict's tensors by their names, without what `DataParallel` has put in front.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Shapes {
    shapes: BTreeMap<String, Vec<usize>>,
    prefix: &'static str,
}

impl Shapes {
    pub(crate) fn new<'a>(tensors: impl IntoIterator<Item = (&'a str, &'a [usize])> + Clone) -> Self {
        let parallel = tensors.clone().into_iter().all(|(name, _)| name.starts_with(PARALLEL));
        let prefix = if parallel { PARALLEL } else { "" };
        let own = |(name, shape): (&str, &[usize])| (name[prefix.len()..].to_owned(), shape.to_vec());
        Self { shapes: tensors.into_iter().map(own).collect(), prefix }
    }

    /// What the file calls a tensor.
    pub(crate) fn whole(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The name of a tensor of the file, without what stands in front of all.
    pub(crate) fn own<'a>(&self, whole: &'a str) -> &'a str {
        whole.strip_prefix(self.prefix).unwrap_or(whole)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.shapes.contains_key(name)
    }

    /// Compares the names and shapes with those of a network.
    ///
    /// # Errors
    /// What differs, a line each.
    pub(crate) fn check(&self, layout: &Layout) -> Result<(), String> {
        let wanted: BTreeMap<String, Vec<usize>> = layout.entries().iter().map(torch_tensor).collect();
        let surplus: BTreeSet<&str> = self
            .shapes
            .keys()
            .map(String::as_str)
            .filter(|name| !wanted.contains_key(*name) && *name != SIGMAS)
            .collect();
        let (mut missing, mut shapes) = (Vec::new(), Vec::new());
        for (name, shape) in &wanted {
            match self.shapes.get(name) {
                None => {
                    let near = nearest(name, surplus.iter().copied());
                    let near = near.map(|near| format!("; is `{near}` meant?")).unwrap_or_default();
                    missing.push(format!("there is no `{name}` {shape:?}{near}"));
                }
                Some(theirs) if theirs != shape => {
                    shapes.push(format!("`{name}` has the shape {theirs:?}, not {shape:?}"))
                }
                Some(_) => {}
            }
        }
        let surplus = surplus.iter().map(|name| format!("the network has no `{name}` {:?}", self.shapes[*name]));
        let lines: Vec<String> = [missing, shapes, surplus.collect()].into_iter().flat_map(first_few).collect();
        if lines.is_empty() { Ok(()) } else { Err(lines.join("\n")) }
    }
}

/// The first of some lines, and how many more there are.
fn first_few(mut lines: Vec<String>) -> Vec<String> {
    let more = lines.len().saturating_sub(SHOWN);
    if more > 1 {
        lines.truncate(SHOWN);
        lines.push(format!("… and {more} more of this sort"));
    }
    lines.iter().map(|line| format!("  {line}")).collect()
}

/// A parameter's name and shape in PyTorch.
fn torch_tensor(entry: &Entry) -> (String, Vec<usize>) {
    let (name, transposed) = torch_name(entry);
    let mut shape = entry.shape.clone();
    if transposed {
        shape.reverse();
    }
    (name, shape)
}

/// The names that PyTorch would have for a network's parameters.
pub(crate) fn names(layout: &Layout) -> BTreeSet<String> {
    layout.entries().iter().map(|entry| torch_name(entry).0).collect()
}

/// The names of those that are never trained.
pub(crate) fn fixed(layout: &Layout) -> BTreeSet<String> {
    layout.entries().iter().filter(|entry| entry.is_fixed()).map(|entry| torch_name(entry).0).collect()
}

/// The parameters in the layout's order and layout. `read` gives a tensor of the shape that [`Shapes::check`] has seen.
///
/// # Errors
/// What `read` says, with the tensor's name; or if a number is not finite.
pub(crate) fn parameters(
    layout: &Layout,
    mut read: impl FnMut(&str) -> Result<Array, String>,
) -> Result<Vec<f32>, String> {
    let mut values = Vec::with_capacity(layout.length());
    for entry in layout.entries() {
        let (name, transposed) = torch_name(entry);
        let array = read(&name).map_err(|problem| format!("`{name}`: {problem}"))?;
        if let Some(number) = array.data.iter().find(|number| !number.is_finite()) {
            return Err(format!("`{name}`: a number in it is {number}; weights must be finite"));
        }
        values.extend(if transposed { transpose(&array).data } else { array.data });
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use burn::module::Module;
    use burn::nn::{GroupNorm, GroupNormConfig, Linear, LinearConfig};
    use burn::tensor::Device;

    use super::*;

    #[derive(Module, Debug)]
    struct Small {
        first: Linear,
        norm: GroupNorm,
    }

    fn layout() -> (Small, Layout) {
        let device = Device::flex();
        let small =
            Small { first: LinearConfig::new(3, 2).init(&device), norm: GroupNormConfig::new(1, 2).init(&device) };
        let layout = Layout::of(&small);
        (small, layout)
    }

    const WHOLE: [(&str, &[usize]); 4] =
        [("first.weight", &[2, 3]), ("first.bias", &[2]), ("norm.weight", &[2]), ("norm.bias", &[2])];

    #[test]
    fn names_and_shapes_must_agree() {
        let (_, layout) = layout();
        Shapes::new(WHOLE).check(&layout).unwrap();
        let sigmas: &[usize] = &[7];
        Shapes::new(WHOLE.into_iter().chain([(SIGMAS, sigmas)])).check(&layout).unwrap();
        let parallel = WHOLE.map(|(name, shape)| (format!("module.{name}"), shape));
        let shapes = Shapes::new(parallel.iter().map(|(name, shape)| (name.as_str(), *shape)));
        shapes.check(&layout).unwrap();
        assert_eq!(shapes.whole("norm.bias"), "module.norm.bias");
        let said = Shapes::new([("first.weight", &[3, 2][..]), ("first.bia", &[2]), ("other", &[1])]);
        let said = said.check(&layout).unwrap_err();
        for line in [
            "there is no `first.bias` [2]; is `first.bia` meant?",
            "there is no `norm.bias` [2]",
            "`first.weight` has the shape [3, 2], not [2, 3]",
            "the network has no `other` [1]",
        ] {
            assert!(said.contains(line), "{said}");
        }
        let many: Vec<String> = (0..30).map(|i| format!("layer{i}.weight")).collect();
        let more = many.iter().map(|name| (name.as_str(), &[1usize][..]));
        let said = Shapes::new(WHOLE.into_iter().chain(more)).check(&layout).unwrap_err();
        assert!(said.lines().count() == 6 && said.contains("and 25 more"), "{said}");
    }

    #[test]
    fn linear_weights_are_turned() {
        let (_, layout) = layout();
        let read = |name: &str| {
            let (_, shape) = WHOLE.iter().find(|(n, _)| *n == name).expect("a name");
            let count: usize = shape.iter().product();
            Ok(Array::new(*shape, (0..count).map(|i| i as f32).collect()))
        };
        let values = parameters(&layout, read).unwrap();
        assert_eq!(values[..6], [0., 3., 1., 4., 2., 5.]);
        assert_eq!(values.len(), layout.length());
        let wrong = parameters(&layout, |name| {
            read(name).map(|array| Array::new(array.shape, array.data.iter().map(|x| x / 0.0).collect()))
        });
        assert!(wrong.unwrap_err().contains("must be finite"));
    }
}
