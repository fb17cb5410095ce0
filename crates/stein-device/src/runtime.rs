//! The runtime's own configuration, and calls into it that must not panic through.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::BurnConfig;
use burn::cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};

/// Runs `body`; a panic in a driver or in the runtime becomes its message.
pub(crate) fn guarded<T>(body: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(body)).map_err(|panic: Box<dyn Any + Send>| {
        panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_string()))
            .unwrap_or_else(|| "the driver panicked".into())
    })
}

/// The user's own configuration (files, then environment), with caches in the user's cache directory unless a file
/// put them somewhere else. `target`, the default, would be a folder in whatever workspace one happens to stand in.
fn configuration() -> CubeClRuntimeConfig {
    use burn::cubecl::config::cache::CacheConfig;

    let mut config = CubeClRuntimeConfig::from_current_dir().override_from_env();
    if matches!(config.environment.path, CacheConfig::Target) {
        config.environment.path = CacheConfig::Global;
    }
    config
}

/// Configures the runtime for hardware, unless it is configured already.
pub(crate) fn prepare() {
    CubeClRuntimeConfig::try_set(configuration());
}

/// Configures the runtime for a software adapter. False when it was configured otherwise before.
#[cfg(feature = "wgpu")]
pub(crate) fn restrict_tuning() -> bool {
    use burn::cubecl::config::autotune::AutotuneLevel;

    let mut config = configuration();
    let autotune = &mut config.autotune;
    autotune.level = AutotuneLevel::Minimal;
    autotune.disable_cache = true;
    // The first candidate that is fast enough ends the search.
    autotune.disable_short_circuit = false;
    autotune.bench.min_samples = 1;
    autotune.bench.max_samples = 1;
    autotune.bench.adaptive = false;
    if CubeClRuntimeConfig::try_set(config) {
        return true;
    }
    let autotune = &CubeClRuntimeConfig::get().autotune;
    matches!(autotune.level, AutotuneLevel::Minimal) && autotune.bench.samples().1 == 1 && !autotune.bench.adaptive
}

/// Lets fusion explore nothing, so that every operation runs as it is. False when burn was configured otherwise
/// before.
pub(crate) fn disable_fusion() -> bool {
    let config = unfused(BurnConfig::from_current_dir().override_from_env());
    config.is_ok_and(BurnConfig::try_set) || BurnConfig::get().fusion().beam_search.max_explorations == Some(0)
}

/// `BurnConfig`'s fields are private; its TOML is the way in.
fn unfused(config: BurnConfig) -> Result<BurnConfig, Box<dyn std::error::Error>> {
    let mut table = toml::Table::try_from(config)?;
    let fusion = table.entry("fusion").or_insert_with(empty);
    let search = fusion.as_table_mut().ok_or("[fusion] is no table")?.entry("beam_search").or_insert_with(empty);
    search.as_table_mut().ok_or("[fusion.beam_search] is no table")?.insert("max_explorations".into(), 0.into());
    Ok(table.try_into()?)
}

fn empty() -> toml::Value {
    toml::Value::Table(toml::Table::new())
}

/// How many CUDA devices there are.
#[cfg(feature = "cuda")]
pub(crate) fn cuda_devices() -> usize {
    use burn::tensor::{Device, DeviceType};

    guarded(|| Device::enumerate(DeviceType::Cuda).iter().count()).unwrap_or(0)
}

/// Opens a CUDA device. There is no call that returns a `Result`; asking for its name opens it.
#[cfg(feature = "cuda")]
pub(crate) fn open_cuda(index: usize) -> Result<(burn::tensor::Device, String), String> {
    guarded(|| {
        let device = burn::tensor::Device::cuda(index);
        let name = device.identity().map(|identity| identity.name);
        (device, name.unwrap_or_else(|| "unnamed".into()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfused_changes_one_key_and_keeps_the_rest() {
        let given: BurnConfig =
            toml::from_str("[fusion]\ngrowth_patience = 7\n[fusion.beam_search]\nmax_blocks = 3").unwrap();
        let config = unfused(given).unwrap();
        assert_eq!(config.fusion().beam_search.max_explorations, Some(0));
        assert_eq!(config.fusion().beam_search.max_blocks, 3);
        assert_eq!(config.fusion().growth_patience, 7);
        assert_eq!(unfused(BurnConfig::default()).unwrap().fusion().beam_search.max_explorations, Some(0));
    }

    #[test]
    fn a_panic_becomes_its_message() {
        assert_eq!(guarded(|| 1), Ok(1));
        assert_eq!(guarded(|| -> u8 { panic!("no {}", "driver") }), Err("no driver".into()));
    }
}
