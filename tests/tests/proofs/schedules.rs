//! Schedules that follow from the data.

use stein_core::{NoiseSchedule, Registry};
use stein_experiment::{Experiment, Plan};
use stein_record::source::Source;

/// An experiment on two points of D numbers that far apart, all but exactly, with such a schedule; or what is wrong with it.
fn planned(d: usize, distance: f64, schedule: &str) -> Result<Plan, String> {
    let corner = |x: f64| format!("{:?}", vec![x; d]);
    let (near, far) = (corner(0.0), corner(distance / (d as f64).sqrt()));
    let text = format!(
        "[data]\nkind = \"gaussian-mixture\"\nmeans = [{near}, {far}]\nstd = 1e-9\ntrain = 64\nheld-out = 64\n\
         [network]\nkind = \"mlp\"\nhidden = [4]\n[training]\nbatch-size = 8\n[evaluation]\nmetrics = []\n[schedule]\n{schedule}\n"
    );
    let source = Source::new("schedules.toml", text.as_bytes()).expect("a source");
    let registry: Registry = stein_experiment::builtin();
    let plan = Experiment::read(&source, &registry).and_then(|experiment| Plan::build(experiment, &registry));
    plan.map_err(|mut wrong| wrong.remove(0).message)
}

fn ladder(d: usize, distance: f64, schedule: &str) -> Vec<f64> {
    let plan = planned(d, distance, schedule).unwrap_or_else(|wrong| panic!("{wrong}"));
    let schedule: &dyn NoiseSchedule = &*plan.schedule;
    schedule.levels().iter().map(|l| l.sigma).collect()
}

/// CIFAR-10's dimension and ends: technique 2 asks for 219.2 levels at C = .5, and 232 have .5670.
#[test]
fn auto_levels_are_ncsnv2s() {
    let auto = "sigma-max = \"auto\"\nsigma-min = 0.01\nlevels = \"auto\"\n";
    let sigmas = ladder(3072, 50.0, auto);
    assert!((sigmas[0] - 50.0).abs() < 1e-3, "{}", sigmas[0]);
    assert_eq!((sigmas.len(), sigmas[219]), (220, 0.01));
    assert_eq!(ladder(3072, 50.0, &format!("{auto}overlap = 0.56695")).len(), 232);
    // Each is as good alone.
    assert_eq!(ladder(3072, 9.0, "sigma-max = 50\nsigma-min = 0.01\nlevels = \"auto\"").len(), 220);
    assert_eq!(ladder(3, 9.0, "sigma-max = \"auto\"\nlevels = 7").len(), 7);
    // Two, in two dimensions: the next level covers a disc whole.
    assert_eq!(ladder(2, 9.0, auto).len(), 2);
}

#[test]
fn auto_is_the_largest_distance_for_every_kind_that_has_it() {
    for kind in ["geometric", "uniform", "karras", "exponential"] {
        let sigmas = ladder(5, 7.0, &format!("kind = \"{kind}\"\nsigma-max = \"auto\""));
        assert!((sigmas[0] - 7.0).abs() < 1e-5, "{kind}: {}", sigmas[0]);
        let given = ladder(5, 7.0, &format!("kind = \"{kind}\"\nsigma-max = 3.0"));
        assert_eq!(given[0], 3.0, "{kind}");
    }
}

#[test]
fn auto_that_nothing_follows_from_is_refused() {
    let wrong = |distance, schedule: &str| planned(4, distance, schedule).expect_err(schedule);
    let narrow = wrong(0.001, "sigma-max = \"auto\"\nsigma-min = 0.01");
    assert!(narrow.contains("must be finite and above `sigma-min`, 0.01"), "{narrow}");
    let misspelt = wrong(9.0, "sigma-max = \"automatic\"");
    assert!(misspelt.contains("auto"), "{misspelt}");
    assert!(wrong(9.0, "levels = 0").contains("levels"));
    assert!(wrong(9.0, "overlap = 0.998").contains("below 0.9973"));
    let text = "schedule = { sigma-max = \"auto\" }";
    let source = Source::new("--schedule", text.as_bytes()).expect("a source");
    let alone = stein_experiment::schedule(&source, &stein_experiment::builtin()).expect_err("no data");
    assert!(alone[0].message.contains("no two that differ"), "{}", alone[0].message);
}

/// What is written stays what was asked for, and files that don't ask keep their cell.
#[test]
fn a_resolved_experiment_keeps_the_word() {
    let plan = planned(6, 3.0, "sigma-max = \"auto\"\nlevels = \"auto\"").expect("fits");
    let text = plan.experiment.to_toml();
    assert!(text.contains("sigma-max = \"auto\"") && text.contains("levels = \"auto\""), "{text}");
    let hash = |schedule: &str| planned(6, 3.0, schedule).expect("fits").experiment.cell().hash;
    assert_eq!(hash("levels = 20\noverlap = 0.5"), hash("sigma-max = 4.0"));
    assert_ne!(hash("levels = \"auto\""), hash("levels = 20"));
}
