//! Finds, chooses and describes the devices that burn can run on.
//!
//! The only crate that names wgpu. Three calls are enough:
//!
//! ```
//! use stein_device::{DeviceRequest, adapters, choose};
//!
//! for adapter in adapters() {
//!     println!("{:<20} {adapter}", adapter.request().to_string());
//! }
//! let request: DeviceRequest = "cpu".parse()?;
//! let chosen = choose(&request)?;
//! println!("{}", chosen.description); // cpu: burn flex, 2 threads
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What a request means
//!
//! | request | device |
//! |---|---|
//! | `auto` | the first hardware adapter (discrete, then integrated, then virtual); the CPU when there is none |
//! | `cpu` | burn's pure-Rust CPU backend, flex |
//! | `wgpu` | the first hardware adapter, on the graphics API that burn settles on; an error when there is none |
//! | `wgpu:discrete`, `wgpu:integrated:1`, … | that adapter, counted from 0 within its kind |
//! | `wgpu:software` | a software adapter (lavapipe, llvmpipe, WARP): for tests, never taken unasked |
//! | `vulkan…`, `metal…` | the same, pinned to one graphics API and its native shader compiler (cargo features) |
//! | `cuda`, `cuda:1` | a CUDA device (cargo feature) |
//!
//! Adapters of a kind are counted as burn counts them, and only those on the one graphics API that burn settles
//! on are counted: the first of Vulkan, DirectX 12, OpenGL (Metal on macOS) that has anything but a software
//! adapter. The same card on a second API is not a second card.
//!
//! burn's own variable `CUBECL_WGPU_DEFAULT_DEVICE` (`DiscreteGpu(1)`, `Cpu`, …) decides for `auto`, `wgpu`,
//! `vulkan` and `metal` without a kind, so workers beside each other can be given a card each.
//!
//! # Before the first tensor
//!
//! burn reads its runtime configuration once per process, on first use (autodiff reads it too, on any backend).
//! So call [`disable_fusion`], then [`choose`], before the first tensor, and choose one device a process.
//! [`choose`] starts from the user's own `burn.toml`, `cubecl.toml` and environment, and changes:
//!
//! - for a software adapter: autotuning at its least effort with one sample and no cache, and no fusion. Otherwise
//!   every candidate kernel is compiled on the CPU, which takes minutes for one small network.
//! - for every adapter: caches go to the user's cache directory instead of `target/` of the current one.
//!
//! # Nothing panics
//!
//! Adapters are opened here, through the calls that return a `Result`, not at the first tensor operation. No
//! driver, no adapter, a driver that refuses: each is a [`DeviceError`], or for `auto` a line in [`Chosen::notes`]
//! and the next best device. `Device::default()` follows cargo features, not hardware, and is never called.

#![forbid(unsafe_code)]

mod adapter;
mod choose;
mod error;
mod request;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod runtime;
#[cfg(feature = "wgpu")]
mod wgpu;

pub use adapter::{Adapter, AdapterKind, Api, adapters, adapters_on};
pub use choose::{Chosen, choose, disable_fusion, fusion_disabled};
pub use error::DeviceError;
pub use request::{DeviceRequest, ParseRequestError, Selector};
