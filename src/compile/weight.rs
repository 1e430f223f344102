//! How Mappings with the same match share its traffic (emissary.md, section 2.6, and the table of design.md, section 6).

use smallvec::SmallVec;

use super::mapping::Weight;

/// What a member of a group gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// Its part of the sum over all.
    Of(u32),
    /// Nothing, because its weight is bad or brings the sum over 100.
    Refused {
        /// The sum without it.
        sum: u32,
    },
}

/// The shares of members, the oldest first. Of weights that are too much together the youngest is refused.
pub(super) fn shares(weights: &[Weight]) -> SmallVec<[Share; 4]> {
    let mut sum = 0;
    let accepted: SmallVec<[Option<Weight>; 4]> = weights
        .iter()
        .map(|weight| match weight {
            Weight::Percent(percent) if sum + percent > 100 => None,
            Weight::Percent(percent) => {
                sum += percent;
                Some(*weight)
            }
            Weight::Rest => Some(*weight),
            Weight::Invalid | Weight::Shadow(_) => None,
        })
        .collect();
    let unweighted = accepted
        .iter()
        .filter(|weight| **weight == Some(Weight::Rest));
    let unweighted = u32::try_from(unweighted.count()).unwrap_or(u32::MAX);
    let any_weighted = accepted
        .iter()
        .any(|weight| matches!(weight, Some(Weight::Percent(_))));
    // What the weights leave is split evenly among those without one; to stay exact, all is counted in parts of a percent.
    let parts = unweighted.max(1);
    accepted
        .iter()
        .map(|weight| match weight {
            Some(Weight::Percent(percent)) => Share::Of(percent.saturating_mul(parts)),
            Some(Weight::Rest) if any_weighted => Share::Of(100 - sum),
            Some(Weight::Rest) => Share::Of(1),
            Some(Weight::Invalid | Weight::Shadow(_)) | None => Share::Refused { sum },
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Weight::{Invalid, Percent, Rest};

    #[test]
    fn traffic_is_shared_as_the_weights_say() {
        for (weights, expected) in [
            (&[Rest][..], &["1"][..]),
            (&[Rest, Rest, Rest], &["1", "1", "1"]),
            (&[Percent(10)], &["10"]),
            (&[Percent(0)], &["0"]),
            (&[Percent(10), Percent(20)], &["10", "20"]),
            (&[Percent(10), Rest], &["10", "90"]),
            (&[Percent(10), Rest, Rest], &["20", "90", "90"]),
            (&[Rest, Percent(100)], &["0", "100"]),
            (&[Percent(0), Rest], &["0", "100"]),
            (&[Percent(70), Percent(40), Percent(30)], &["70", "x", "30"]),
            (&[Invalid, Rest], &["x", "1"]),
        ] {
            let shown: Vec<_> = shares(weights)
                .into_iter()
                .map(|share| match share {
                    Share::Of(share) => share.to_string(),
                    Share::Refused { .. } => "x".to_owned(),
                })
                .collect();
            assert_eq!(shown, expected, "{weights:?}");
        }
    }
}
