//! A look at what layers give, one after another: the first whose output is not finite is where a network leaves the numbers.

use std::cell::RefCell;

use burn::module::ParamId;
use burn::tensor::Tensor;

use crate::jet::Jet;

/// What a layer gave.
#[derive(Debug, Clone)]
pub struct LayerOutput {
    /// What layer it is: `linear`, `conv2d`, …
    pub kind: &'static str,
    /// Its weight, by which its network knows it.
    pub weight: ParamId,
    /// The values, a row an example, without a tape.
    pub values: Tensor<2>,
    /// The derivatives along each direction, as they are stored.
    pub derivatives: Option<Tensor<2>>,
}

thread_local! {
    static SEEN: RefCell<Option<Vec<LayerOutput>>> = const { RefCell::new(None) };
}

/// Does something, and gives what the layers gave that it took jets through, on this thread and in their order.
pub fn watched<T>(work: impl FnOnce() -> T) -> (T, Vec<LayerOutput>) {
    let before = SEEN.replace(Some(Vec::new()));
    let done = work();
    (done, SEEN.replace(before).unwrap_or_default())
}

/// Notes what a layer gives, if somebody looks.
pub(crate) fn seen<const D: usize>(kind: &'static str, weight: ParamId, output: Jet<D>) -> Jet<D> {
    SEEN.with_borrow_mut(|seen| {
        if let Some(seen) = seen {
            let (batch, rows) = (output.batch, output.data.dims()[0]);
            let width = output.data.dims()[1..].iter().product::<usize>();
            let data = output.data.clone();
            let data = if data.is_autodiff() { data.inner() } else { data };
            let data = data.reshape([rows, width]);
            let derivatives = (rows > batch).then(|| data.clone().narrow(0, batch, rows - batch));
            seen.push(LayerOutput { kind, weight, values: data.narrow(0, 0, batch), derivatives });
        }
    });
    output
}

#[cfg(test)]
mod tests {
    use burn::nn::LinearConfig;
    use burn::tensor::Device;

    use super::*;
    use crate::{linear, silu};

    #[test]
    fn layers_are_seen_in_their_order_while_somebody_looks() {
        let device = Device::flex();
        let layers = [LinearConfig::new(2, 3).init(&device), LinearConfig::new(3, 1).init(&device)];
        let x = Tensor::<2>::from_floats([[1.0, 2.0], [f32::INFINITY, 0.0]], &device);
        let pass = |x: Jet<2>| layers.iter().fold(x, |x, layer| silu(linear(layer, x)));
        let (_, seen) = watched(|| pass(Jet::seed(x.clone(), vec![x.ones_like()])));
        let about: Vec<_> = seen.iter().map(|s| (s.kind, s.weight, s.values.dims())).collect();
        let [a, b] = layers.each_ref().map(|layer| layer.weight.id);
        assert_eq!(about, [("linear", a, [2, 3]), ("linear", b, [2, 1])]);
        let rows: Vec<f32> = seen[0].values.clone().into_data().try_into_vec().unwrap();
        assert!(rows[..3].iter().all(|x| x.is_finite()) && rows[3..].iter().all(|x| !x.is_finite()), "{rows:?}");
        assert_eq!(seen[0].derivatives.as_ref().unwrap().dims(), [2, 3]);
        let (_, plain) = watched(|| pass(Jet::plain(x.clone())));
        assert!(plain[0].derivatives.is_none());
        pass(Jet::plain(x));
        assert!(SEEN.take().is_none(), "nobody looks");
    }
}
