//! What losses are made of, for free networks and for energies: ½‖s − t‖², vᵀs and vᵀ J v, with gradients in the parameters.
//!
//! A free network gives the score itself. An energy gives it by reverse mode, as a constant to the parameters; what a loss needs of it
//! is written with the energy's derivatives along directions, vᵀs = −vᵀ∇E and vᵀJv = −vᵀ∇²E v, which come by forward mode.

use burn::tensor::{FloatDType, Tensor};
use stein_core::{Condition, Energy, Perturbed, ScoreNetwork};
use stein_jet::Jet;

/// ½‖row‖² of each row, `[B]`.
pub(crate) fn half_square(rows: Tensor<2>) -> Tensor<1> {
    rows.square().sum_dim(1).squeeze_dim::<1>(1) * 0.5
}

/// ½‖s(x) − target‖² of each example, `[B]`, at `x` `[B, D]`; without a target ½‖s(x)‖².
///
/// For an energy, whatever D: r = s − target is taken as a constant, and ∂θ ½‖r‖² = rᵀ ∂θ s is the gradient of −rᵀ∇E, one derivative
/// along r.
pub fn half_square_error(
    network: &dyn ScoreNetwork,
    x: Tensor<2>,
    target: Option<Tensor<2>>,
    condition: &Condition,
) -> Tensor<1> {
    let score = network.score(x.clone(), condition);
    let error = match target {
        Some(target) => score - target,
        None => score,
    };
    if network.energy().is_none() {
        return half_square(error);
    }
    let error = error.detach();
    let slope = slopes(network, x, std::slice::from_ref(&error), condition).squeeze_dim::<1>(0);
    half_square(error) + (slope.clone() - slope.detach())
}

/// vᵀ s(x) along each of K directions, `[K, B]`, at `x`; `x` and directions `[B, D]`.
pub fn slopes(network: &dyn ScoreNetwork, x: Tensor<2>, directions: &[Tensor<2>], condition: &Condition) -> Tensor<2> {
    let (rows, k) = (x.dims()[0], directions.len());
    match network.energy() {
        Some(energy) => {
            let jet = energy.evaluate(Jet::seed(x, directions.to_vec()), condition);
            -jet.tangents().reshape([k, rows])
        }
        None => products(&network.score(x, condition), directions),
    }
}

/// vᵀ row for each direction and row, `[K, B]`.
pub(crate) fn products(rows: &Tensor<2>, directions: &[Tensor<2>]) -> Tensor<2> {
    Tensor::cat(directions.iter().map(|v| (rows.clone() * v.clone()).sum_dim(1)).collect(), 1).transpose()
}

/// What a loss along K directions is made of: vᵀJv, and the score, or of an energy vᵀs.
pub struct Along {
    /// vᵀ J v, `[K, B]`; of all unit directions perhaps their sum, `[1, B]`.
    curvatures: Tensor<2>,
    score: Known,
}

/// What came along of the score.
enum Known {
    /// All of it, `[B, D]`, and the directions; none for the unit ones.
    Score(Tensor<2>, Vec<Tensor<2>>),
    /// vᵀs, `[K, B]`.
    Slopes(Tensor<2>),
}

impl Along {
    /// Along `directions`, `[B, D]` each.
    pub fn directions(network: &dyn ScoreNetwork, batch: &Perturbed, directions: &[Tensor<2>]) -> Self {
        let jet = Jet::seed(batch.noisy.clone(), directions.to_vec());
        if let Some(energy) = network.energy() {
            return Self::of_energy(energy, jet, &batch.condition);
        }
        let (rows, k) = (jet.batch(), jet.directions());
        let jet = network.jet(jet, &batch.condition);
        let products = jet.tangents() * Tensor::cat(directions.to_vec(), 0);
        let curvatures = products.sum_dim(1).reshape([k, rows]);
        Self { curvatures, score: Known::Score(jet.into_value(), directions.to_vec()) }
    }

    /// Along the D unit directions: the diagonal of J, and the score's components. The directions are the same for every example, so
    /// up to the first nonlinearity their derivatives are computed once for all.
    pub fn basis(network: &dyn ScoreNetwork, batch: &Perturbed) -> Self {
        let ([b, d], jet) = (batch.noisy.dims(), Jet::basis(batch.noisy.clone()));
        if let Some(energy) = network.energy() {
            return Self::of_energy(energy, jet, &batch.condition);
        }
        let jet = network.jet(jet, &batch.condition);
        let tangents = jet.tangents();
        let diagonal = Tensor::<2>::eye(d, &tangents.device()).cast(FloatDType::from(tangents.dtype()));
        let jacobian = tangents.reshape([d, b, d]) * diagonal.unsqueeze_dim::<3>(1);
        Self { curvatures: jacobian.sum_dim(2).reshape([d, b]), score: Known::Score(jet.into_value(), Vec::new()) }
    }

    /// The same of networks that know the sum of the diagonal.
    pub fn trace(network: &dyn ScoreNetwork, batch: &Perturbed) -> Option<Self> {
        let (score, trace) = network.divergence(batch.noisy.clone(), &batch.condition)?;
        Some(Self { curvatures: trace.unsqueeze(), score: Known::Score(score, Vec::new()) })
    }

    /// tr J + ½‖s‖² of what was taken along the unit directions, `[B]`.
    pub fn over_the_basis(&self) -> Tensor<1> {
        self.curvature() + self.half_square_slopes()
    }

    fn of_energy(energy: &dyn Energy, jet: Jet<2>, condition: &Condition) -> Self {
        let (rows, k) = (jet.batch(), jet.directions());
        let energy = energy.evaluate(jet.second_order(), condition);
        let minus = |of: Tensor<2>| -of.reshape([k, rows]);
        Self { curvatures: minus(energy.seconds()), score: Known::Slopes(minus(energy.tangents())) }
    }

    /// Σ vᵀ J v over the directions, `[B]`.
    pub fn curvature(&self) -> Tensor<1> {
        self.curvatures.clone().sum_dim(0).squeeze_dim::<1>(0)
    }

    /// Σ ½(vᵀs)² over the directions, `[B]`; over the unit directions that is ½‖s‖².
    pub fn half_square_slopes(&self) -> Tensor<1> {
        let slopes = match &self.score {
            Known::Score(score, directions) if directions.is_empty() => return half_square(score.clone()),
            Known::Score(score, directions) => products(score, directions),
            Known::Slopes(slopes) => slopes.clone(),
        };
        slopes.square().sum_dim(0).squeeze_dim::<1>(0) * 0.5
    }

    /// ½‖s‖² of each example, `[B]`, at the points that this was taken at.
    pub fn half_square_score(&self, network: &dyn ScoreNetwork, batch: &Perturbed) -> Tensor<1> {
        match &self.score {
            Known::Score(score, _) => half_square(score.clone()),
            Known::Slopes(_) => half_square_error(network, batch.noisy.clone(), None, &batch.condition),
        }
    }
}
