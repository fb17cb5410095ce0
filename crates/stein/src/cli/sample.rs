//! `stein sample`.

use serde_json::json;
use stein_core::Registry;
use stein_device::choose;
use stein_experiment::MOST_SAMPLES;
use stein_samplers::{Starts, interpolates};
use stein_train::More;

use super::arguments::{Sample, Voice};
use super::{Failure, Outcome, load, pictures, print, print_json, runs, signals};

/// Steps of an interpolation; a picture has them side by side.
const MOST_STEPS: usize = 64;

pub(crate) fn sample(arguments: &Sample, registry: &Registry, voice: Voice) -> Outcome {
    let run = runs::one(&arguments.run)?;
    if !(1..=MOST_SAMPLES).contains(&arguments.count) {
        let count = arguments.count;
        return Err(Failure::usage(format!("--count is {count}; it must be from 1 to {MOST_SAMPLES}")));
    }
    if let Some(steps) = arguments.interpolate
        && !(2..=MOST_STEPS).contains(&steps)
    {
        return Err(Failure::usage(format!("--interpolate is {steps}; it must be from 2 to {MOST_STEPS}")));
    }
    let run = runs::trained(run.path())?;
    let plan = load::plan(&run.experiment(), &arguments.set, registry)?;
    load::same_data(&plan, &run)?;
    if arguments.interpolate.is_some() {
        let starts = Starts::new(&plan.experiment.start, &plan.dataset);
        interpolates(&*plan.sampler, plan.experiment.sampler.kind(), &starts).map_err(|e| Failure::usage(e.message))?;
    }
    let chosen = choose(&plan.experiment.device).map_err(|e| Failure::usage(e.to_string()))?;
    let stop = signals::install().map_err(|e| Failure::Message(format!("cannot handle signals: {e}"), 1))?;
    voice.say(&format!("device  {}", chosen.description));
    let more = More { count: arguments.count, seed: arguments.seed, interpolate: arguments.interpolate };
    let samples = stein_train::draw_from_run(&plan, &run, more, &chosen.device, &stop, voice.quiet)?;
    // It took a while.
    run.check_for_reading()?;
    let mut name = arguments.seed.map_or_else(|| "more".into(), |seed| format!("seed-{seed}"));
    if arguments.interpolate.is_some() {
        name += "-interpolated";
    }
    let out = arguments.out.clone().unwrap_or_else(|| run.drawn(&name));
    let array = out.join("samples.npy");
    let units = plan.dataset.units.as_ref();
    units.map_or_else(|| samples.clone(), |units| units.restore(&samples)).write_npy(&array)?;
    let image = plan.dataset.image.map(|i| [i.height, i.width, i.channels]);
    let range = plan.dataset.range.map(|r| r.map(f64::from));
    let picture = out.join("samples.png");
    let drawn = pictures::draw_samples(&samples, (image, range), None, arguments.interpolate, &picture)?;
    if arguments.json {
        print_json(
            &json!({ "samples": array, "picture": drawn.then_some(picture), "count": arguments.count, "seed": arguments.seed,
                "interpolate": arguments.interpolate, "units": units }),
        );
        return Ok(());
    }
    let of = if units.is_some() { ", in the data's own units (the run's arrays are standardised)" } else { "" };
    print(&format!("samples  {}{of}", array.display()));
    if drawn {
        print(&format!("picture  {}", picture.display()));
    }
    Ok(())
}
