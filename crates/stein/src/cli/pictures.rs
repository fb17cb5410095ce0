//! The pictures of a run directory, drawn from its arrays.

use std::path::Path;

use stein_record::arrays::ArrayFile;
use stein_record::{Array, RecordError, RunDir, State};
use stein_report::images::{View, sample_grid, scatter, trajectory_gif, write_png};

/// Columns of a grid of samples.
const COLUMNS: usize = 8;
/// Lines of it.
const LINES: usize = 8;
/// Width and height of a picture of points.
const SIZE: u32 = 640;

/// Draws `samples/final.png` and `samples/trajectory.gif`, if there is anything to draw that is not drawn yet.
pub(crate) fn draw(run: &RunDir) -> Result<(), RecordError> {
    let Some(record) = run.read_record()? else { return Ok(()) };
    if record.state == State::Running {
        // Somebody is at work there.
        return Ok(());
    }
    run.check_for_reading()?;
    let (png, gif) = (run.sample("final.png"), run.sample("trajectory.gif"));
    let (samples, frames) = (run.sample("final.npy"), run.sample("trajectory.npy"));
    let data = &record.data;
    if !is_drawn(&png, &[&samples, &run.field()])
        && let Some(samples) = Array::read_npy(&samples)?
    {
        run.check_for_writing()?;
        draw_samples(&samples, (data.image, data.range), ArrayFile::read(&run.field())?.as_ref(), None, &png)?;
    }
    if is_drawn(&gif, &[&frames, &run.field(), &run.evaluation()]) || !samples.is_file() {
        return Ok(());
    }
    let Some(frames) = Array::read_npy(&frames)?.filter(|frames| !frames.data.is_empty()) else { return Ok(()) };
    let sigmas = run.read_evaluation()?.map(|e| e.trajectory_sigmas).unwrap_or_default();
    let field = ArrayFile::read(&run.field())?;
    let view = match data.image {
        Some(image) => View::Images { image, range: data.range.unwrap_or([0.0, 1.0]), columns: COLUMNS },
        None if data.dimension == 2 => View::Plane { field: field.as_ref() },
        None => return Ok(()),
    };
    run.check_for_writing()?;
    trajectory_gif(&gif, &frames, &sigmas, view)
}

/// Whether a picture is newer than all that it is drawn from.
fn is_drawn(picture: &Path, from: &[&Path]) -> bool {
    let changed = |path: &Path| path.metadata().and_then(|about| about.modified()).ok();
    let Some(drawn) = changed(picture) else { return false };
    from.iter().filter_map(|path| changed(path)).all(|changed| changed < drawn)
}

/// Draws samples as a grid of images, so many to a line, or as points; nothing for rows that are neither.
pub(crate) fn draw_samples(
    samples: &Array,
    (image, range): (Option<[usize; 3]>, Option<[f64; 2]>),
    field: Option<&ArrayFile>,
    columns: Option<usize>,
    path: &Path,
) -> Result<bool, RecordError> {
    let picture = match image {
        Some(image) => {
            let columns = columns.unwrap_or(COLUMNS);
            let scale = (256 / image[1].max(1) / columns).clamp(1, 8) * 2;
            let shown = samples.slice(0..samples.rows().min(columns * LINES));
            sample_grid(&shown, image, range.unwrap_or([0.0, 1.0]), columns, scale)?
        }
        None if samples.row_length() == 2 => scatter(samples, field, SIZE)?,
        None => return Ok(false),
    };
    write_png(path, &picture)?;
    Ok(true)
}
