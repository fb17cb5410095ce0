//! Pooling over windows that may overlap, and stick out over an image's border.

use burn::tensor::Tensor;
use burn::tensor::module::{avg_pool2d, max_pool2d as pool, max_pool2d_with_indices};
use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};

use crate::jet::Jet;

/// Square windows over an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Pixels in a row and in a column of it.
    pub kernel: usize,
    /// Pixels from one window to the next.
    pub stride: usize,
    /// Pixels by which windows stick out on each side; at most half of `kernel`.
    pub padding: usize,
}

impl Window {
    /// A window around each pixel, which keeps the image's size; `kernel` is odd.
    pub fn same(kernel: usize) -> Self {
        Self { kernel, stride: 1, padding: kernel / 2 }
    }

    /// Its side if it is one of [`same`](Self::same).
    fn around(self) -> Option<usize> {
        (self == Self::same(self.kernel)).then_some(self.kernel)
    }

    #[track_caller]
    fn assert_fits(self, [_, _, height, width]: [usize; 4]) {
        let Self { kernel, stride, padding } = self;
        assert!(
            kernel > 0 && stride > 0 && 2 * padding <= kernel,
            "windows need a kernel and a stride above 0 and a padding of at most half the kernel, got {self:?}"
        );
        assert!(
            height.min(width) > 0 && height.min(width) + 2 * padding >= kernel,
            "an image of {height} × {width} has no room for {self:?}"
        );
    }
}

/// Maxima over windows: `[B, C, H, W]` to `[B, C, H', W']`. What sticks out counts for nothing.
///
/// It selects: derivatives are those at the place of the maximum, the first of several. They jump where another pixel becomes the
/// largest, and a loss on J v has a gradient that misses the jumps: take it where values alone are differentiated.
///
/// # Panics
///
/// If no window fits, or the padding is more than half the kernel.
pub fn max_pool2d(x: Jet<4>, window: Window) -> Jet<4> {
    let [batch, channels, height, width] = x.dims();
    window.assert_fits([batch, channels, height, width]);
    let Window { kernel, stride, padding } = window;
    let mut options = MaxPoolOptions::new([kernel; 2]);
    options.stride = [stride; 2];
    options.padding = [(padding, padding); 2];
    if x.directions() == 0 {
        let by_kernel = window.around().and_then(|kernel| stein_kernels::max_pool(kernel, &x.data));
        return Jet::plain(by_kernel.unwrap_or_else(|| pool(x.data, options)));
    }
    let x = x.unshared();
    let rows = x.data.dims()[0];
    let (_, places) = max_pool2d_with_indices(x.value().detach(), options);
    let [_, _, h, w] = places.dims();
    let places = places.reshape([batch, channels, h * w]).repeat_dim(0, rows / batch.max(1));
    x.linear_map(|all| all.reshape([rows, channels, height * width]).gather(2, places).reshape([rows, channels, h, w]))
}

/// Means over windows: `[B, C, H, W]` to `[B, C, H', W']`. What sticks out counts as zeros (PyTorch's `AvgPool2d`, its
/// `count_include_pad` as it is by default).
///
/// # Panics
///
/// If no window fits, or the padding is more than half the kernel.
pub fn mean_pool2d(x: Jet<4>, window: Window) -> Jet<4> {
    window.assert_fits(x.dims());
    let Window { kernel, stride, padding } = window;
    let mut options = AvgPoolOptions::new([kernel; 2]);
    options.stride = [stride; 2];
    options.padding = [(padding, padding); 2];
    options.count_include_pad = true;
    let by_kernel = |rows: &Tensor<4>| window.around().and_then(|kernel| stein_kernels::mean_pool(kernel, rows));
    x.linear_map(|rows| by_kernel(&rows).unwrap_or_else(|| avg_pool2d(rows, options.clone())))
}
