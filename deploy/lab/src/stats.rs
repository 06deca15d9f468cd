//! Medians, percentiles, ratios.

/// The middle of the values; between the two middle ones when they are even in number. `None`
/// of none. Values that are no numbers are left out.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// The value below which `share` (0 to 1) of the values lie: the nearest rank. `None` of none.
pub fn percentile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied()
}

/// The median of each round's own ratio: both sides of one ratio ran seconds apart, so what the
/// neighbours did in that minute falls out. Pairs are `(round, value)`.
pub fn ratio(ours: &[(usize, f64)], theirs: &[(usize, f64)]) -> Option<f64> {
    median(&ratios(ours, theirs))
}

/// The ratios themselves.
pub fn ratios(ours: &[(usize, f64)], theirs: &[(usize, f64)]) -> Vec<f64> {
    let paired = |(round, value): &(usize, f64)| {
        let (_, other) = theirs.iter().find(|(r, _)| r == round)?;
        Some(value / other)
    };
    ours.iter().filter_map(paired).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[f64::NAN, 1.0]), Some(1.0));
    }

    #[test]
    fn the_nearest_rank() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(percentile(&hundred, 0.5), Some(50.0));
        assert_eq!(percentile(&hundred, 0.99), Some(99.0));
        assert_eq!(percentile(&[7.0], 0.99), Some(7.0));
        assert_eq!(percentile(&[], 0.5), None);
    }

    #[test]
    fn ratios_pair_rounds_and_leave_out_what_has_no_partner() {
        let ours = [(0, 10.0), (1, 30.0), (3, 100.0)];
        let theirs = [(0, 5.0), (1, 10.0), (2, 1.0)];
        assert_eq!(ratio(&ours, &theirs), Some(2.5));
        assert_eq!(ratio(&ours, &[]), None);
    }
}
