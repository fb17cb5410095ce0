//! Mixtures know their density and score.

use stein_core::{Condition, Level, Target, matrix, to_host};
use stein_data::IsotropicMixture;
use stein_record::Array;

use crate::common::{at, device, draws, gaussian, half_squares, mean, three_modes};

fn conditions(n: usize) -> Vec<Condition> {
    let mut all = vec![Condition::clean()];
    all.extend([0.05, 0.5, 4.0].map(|sigma| at(Level::exploding(sigma), n)));
    all.push(at(Level { alpha: 0.6, sigma: 0.8 }, n));
    all
}

/// The score's largest error against central differences of the log density, relative to the largest score.
fn score_error(target: &dyn Target, factor: f64) -> f64 {
    let points = [[-2.0f32, -1.0], [0.3, 0.4], [2.0, -1.9], [0.1, 2.2], [-4.0, 3.0]];
    let n = points.len();
    let at = |dx: f32, dy: f32| matrix(points.iter().flat_map(|p| [p[0] + dx, p[1] + dy]).collect(), 2, &device());
    let h = 4e-3f32;
    let mut worst: f64 = 0.0;
    for condition in conditions(n) {
        let score = to_host(target.score(at(0.0, 0.0), &condition));
        let log = |dx: f32, dy: f32| to_host(target.log_density(at(dx, dy), &condition));
        let (px, mx, py, my) = (log(h, 0.0), log(-h, 0.0), log(0.0, h), log(0.0, -h));
        let size = score.iter().fold(1e-3f32, |m, s| m.max(s.abs()));
        for i in 0..n {
            for (s, difference) in [(score[2 * i], px[i] - mx[i]), (score[2 * i + 1], py[i] - my[i])] {
                let error = f64::from(s) * factor - f64::from(difference) / f64::from(2.0 * h);
                worst = worst.max(error.abs() / f64::from(size));
            }
        }
    }
    worst
}

#[test]
fn the_score_is_the_gradient_of_the_log_density() {
    // Central differences in f32 are good to a few parts in a thousand here.
    assert!(score_error(&three_modes(), 1.0) < 5e-3, "{}", score_error(&three_modes(), 1.0));
    assert!(score_error(&three_modes(), 1.02) > 1e-2, "a factor of 1.02 must be seen");
    assert!(score_error(&three_modes(), -1.0) > 1.0, "a sign must be seen");
}

#[test]
fn many_components_agree_with_few() {
    // More than 64 components take the way by matrix products; split each mode into 30 equal ones to get there.
    let few = three_modes();
    let means = [[-2.5, -1.5], [2.5, -1.5], [0.0, 2.5]];
    let many = IsotropicMixture::new(
        (0..90).map(|i| means[i % 3].to_vec()).collect(),
        vec![0.5; 90],
        (0..90).map(|i| [0.5, 0.3, 0.2][i % 3]).collect(),
    );
    let (x, _) = draws(&few, 200, "many");
    for condition in conditions(200) {
        let (a, b) = (few.score(x.clone(), &condition), many.score(x.clone(), &condition));
        let worst = to_host((a - b).abs().max())[0];
        assert!(worst < 2e-4, "{worst}");
    }
}

#[test]
fn densities_integrate_to_one() {
    let grid: Vec<f32> = (0..161).map(|i| -8.0 + 0.1 * i as f32).collect();
    let points: Vec<f32> = grid.iter().flat_map(|&y| grid.iter().flat_map(move |&x| [x, y])).collect();
    let n = points.len() / 2;
    let x = matrix(points, 2, &device());
    for condition in [Condition::clean(), at(Level::exploding(0.5), n), at(Level { alpha: 0.6, sigma: 0.8 }, n)] {
        let log = to_host(three_modes().log_density(x.clone(), &condition));
        let integral: f64 = log.iter().map(|&l| f64::from(l).exp()).sum::<f64>() * 0.01;
        assert!((integral - 1.0).abs() < 1e-3, "{integral}");
    }
}

#[test]
fn a_single_gaussian_has_the_textbook_score() {
    let target = gaussian(vec![1.0, -2.0], 0.5);
    let x = matrix(vec![2.0, 0.0], 2, &device());
    let score = to_host(target.score(x, &at(Level { alpha: 0.5, sigma: 0.3 }, 1)));
    // −(x − α m)/(α² s² + σ²)
    let v = 0.25 * 0.25 + 0.09;
    for (s, e) in score.iter().zip([-(2.0 - 0.5) / v, -(0.0 + 1.0) / v]) {
        assert!((f64::from(*s) - e).abs() < 1e-4 * e.abs(), "{s} {e}");
    }
}

#[test]
fn half_the_fisher_information_of_the_three_modes() {
    let target = three_modes();
    let (x, _) = draws(&target, 100_000, "fisher");
    let (value, error) = mean(&half_squares(target.score(x, &Condition::clean())));
    assert!((value - 3.99978).abs() < 4.0 * error, "{value} ± {error}");
    assert!((2.0 * value - 3.99978).abs() > 20.0 * error, "without the ½ it must be seen");
}

#[test]
fn the_empirical_distribution_is_a_mixture_of_points() {
    let rows = Array::new([3, 2], vec![0.0, 0.0, 1.0, 0.0, 0.0, 2.0]);
    let target = IsotropicMixture::empirical(&rows);
    // Close to a point and far from the others, the score leads straight to it.
    let x = matrix(vec![1.01, 0.02], 2, &device());
    let score = to_host(target.score(x, &at(Level::exploding(0.05), 1)));
    assert!((score[0] + 0.01 / 0.0025).abs() < 0.05 && (score[1] + 0.02 / 0.0025).abs() < 0.05, "{score:?}");
}

#[test]
fn the_derivative_of_the_score_is_its_difference_quotient() {
    let target = three_modes();
    let (x, v) = draws(&target, 200, "derivative");
    let h = 2e-3;
    for condition in conditions(200).into_iter().skip(2) {
        let derivatives = target.score_derivatives(x.clone(), vec![v.clone()], &condition);
        let exact = to_host(derivatives.expect("known").remove(0));
        let at = |sign: f64| target.score(x.clone() + v.clone() * (sign * h), &condition);
        let difference = to_host((at(1.0) - at(-1.0)) / (2.0 * h));
        let size = difference.iter().fold(0.0f32, |m, d| m.max(d.abs()));
        let worst = exact.iter().zip(&difference).fold(0.0f32, |m, (a, b)| m.max((a - b).abs())) / size;
        assert!(worst < 2e-3, "{worst}");
        let twin = exact.iter().zip(&difference).fold(0.0f32, |m, (a, b)| m.max((1.02 * a - b).abs())) / size;
        assert!(twin > 5e-3, "2 % must be seen");
    }
}
