//! Sums, products and constants.

use std::ops::{Add, Mul, Neg, Sub};

use burn::tensor::Tensor;

use crate::jet::{Jet, Order, plus};
use crate::map::times_each_block;
use crate::shape::assert_example_dimension;

impl<const D: usize> Jet<D> {
    /// Adds what doesn't depend on x: the tangents stay. `c` is `[B, ...]` or `[1, ...]`, and its other dimensions are those
    /// of the value or 1.
    ///
    /// # Panics
    ///
    /// If `c` doesn't broadcast to the value.
    pub fn add_constant(self, c: Tensor<D>) -> Self {
        self.assert_broadcasts(&c, "add_constant");
        if self.k == 0 {
            return Self::plain(self.data + c);
        }
        // Zeros below c, rather than taking the jet apart and joining it again: c is often small (a bias over pixels),
        // and the gradient then passes through the jet's rows without a copy.
        let mut dims = c.dims();
        dims[0] = self.batch;
        let c = if c.dims()[0] == dims[0] { c } else { c.expand(dims) };
        dims[0] = self.derivative_rows();
        let zeros = Tensor::zeros(dims, (&c.device(), c.dtype()));
        Self { data: self.data + Tensor::cat(vec![c, zeros], 0), ..self }
    }

    /// Multiplies by what doesn't depend on x, value and tangents alike. `c` is `[B, ...]` (a factor for each example, say a
    /// function of σ as `[B, 1]`) or `[1, ...]`, and its other dimensions are those of the value or 1.
    ///
    /// # Panics
    ///
    /// If `c` doesn't broadcast to the value.
    pub fn scale(self, c: Tensor<D>) -> Self {
        self.assert_broadcasts(&c, "scale");
        if self.k == 0 || c.dims()[0] == 1 {
            return Self { data: self.data * c, ..self };
        }
        if !self.is_shared() {
            let blocks = self.data.dims()[0] / self.batch.max(1);
            return Self { data: self.data * c.repeat_dim(0, blocks), ..self };
        }
        // Tangents and factors in one product: it is what gives every example tangents of its own.
        let (dims, batch, k, order) = (self.dims(), self.batch, self.k, self.order);
        let tangents = times_each_block(self.stored_tangents(), c.clone().expand(dims), k);
        Self { data: Tensor::cat(vec![self.into_value() * c, tangents], 0), batch, k, order }
    }

    /// Concatenates along a dimension other than the first with what doesn't depend on x, `[B, ...]`.
    ///
    /// # Panics
    ///
    /// If `dim` is 0 or the shapes don't fit.
    pub fn cat_constant(self, c: Tensor<D>, dim: usize) -> Self {
        assert_example_dimension::<D>("cat_constant", dim);
        let mut dims = c.dims();
        dims[0] = self.derivative_rows();
        let c = if self.k == 0 {
            c
        } else {
            Tensor::cat(vec![c.clone(), Tensor::zeros(dims, (&c.device(), c.dtype()))], 0)
        };
        Self { data: Tensor::cat(vec![self.data, c], dim), ..self }
    }

    /// Multiplies by a number.
    pub fn scale_by(self, c: f64) -> Self {
        Self { data: self.data * c, ..self }
    }

    #[track_caller]
    fn assert_broadcasts(&self, c: &Tensor<D>, operation: &str) {
        let (dims, constant) = (self.dims(), c.dims());
        assert!(
            dims.iter().zip(constant).all(|(&d, c)| c == d || c == 1),
            "{operation} needs a tensor that broadcasts to the value's shape {dims:?}, got {constant:?}"
        );
    }

    #[track_caller]
    fn assert_same_shape(&self, other: &Self) {
        self.assert_same_rows(other);
        assert_eq!(self.dims(), other.dims(), "jets must have the same shape");
    }
}

/// Sum of two jets of the same shape.
///
/// # Panics
///
/// If shapes or directions differ.
impl<const D: usize> Add for Jet<D> {
    type Output = Self;

    #[track_caller]
    fn add(self, other: Self) -> Self {
        self.assert_same_shape(&other);
        let [a, b] = self.alike(other);
        Self { data: stein_kernels::sum(a.data, b.data), ..a }
    }
}

/// Difference of two jets of the same shape.
///
/// # Panics
///
/// If shapes or directions differ.
impl<const D: usize> Sub for Jet<D> {
    type Output = Self;

    #[track_caller]
    fn sub(self, other: Self) -> Self {
        self.assert_same_shape(&other);
        let [a, b] = self.alike(other);
        Self { data: a.data - b.data, ..a }
    }
}

impl<const D: usize> Neg for Jet<D> {
    type Output = Self;

    fn neg(self) -> Self {
        Self { data: -self.data, ..self }
    }
}

/// Elementwise product of two jets of the same shape: (f g)′ = f′ g + f g′ and (f g)″ = f″ g + 2 f′ g′ + f g″ along each
/// direction.
///
/// # Panics
///
/// If shapes or directions differ.
impl<const D: usize> Mul for Jet<D> {
    type Output = Self;

    #[track_caller]
    fn mul(self, other: Self) -> Self {
        self.assert_same_shape(&other);
        let (k, order) = (self.k, self.order);
        if k == 0 {
            return Self::plain(self.data * other.data);
        }
        // Where second derivatives are made, f′ and g′ meet: shared tangents of the two are made alike.
        let [f, g] = if order == Order::Second { [self.unshared(), other.unshared()] } else { [self, other] };
        let (df, dg) = (f.stored_tangents(), g.stored_tangents());
        let (ddf, ddg) = (f.stored_seconds(), g.stored_seconds());
        let (f, g) = (f.into_value(), g.into_value());
        let seconds = (order == Order::Second).then(|| {
            let mixed = df.clone() * dg.clone() * 2.0;
            let with_f = plus(mixed, ddf.map(|ddf| times_each_block(ddf, g.clone(), k)));
            plus(with_f, ddg.map(|ddg| times_each_block(ddg, f.clone(), k)))
        });
        let tangents = times_each_block(df, g.clone(), k) + times_each_block(dg, f.clone(), k);
        Self::join(k, f * g, tangents, seconds)
    }
}
