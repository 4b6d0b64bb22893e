//! How the time of an evaluation grows with points, series and formulas, over three decades of each.

use std::hint::black_box;

use super::measure::{Contestant, at_most, take_turns, tell};
use super::peers;
use super::shop::{Page, Shop, Size};

/// The greatest exponent of the time's growth over all decades: 1 is linear, 2 quadratic.
const BOUND: f64 = 1.1;

pub fn run() {
    let names = peers::formulas();
    let page = |size: Size| Page::new(&Shop::new(size), peers::KEYSPACE, &names);
    decades("points", &[100, 1_000, 10_000, 100_000], |points| page(Size { countries: 1, points }));
    decades("series of each metric", &[2, 20, 200, 2_000], |series| page(Size { countries: series / 2, points: 100 }));
    let shop = Shop::new(Size { countries: 5, points: 1_440 });
    decades("formulas", &[1, 10, 100, 1_000], |count| different(&shop, count));
}

/// Formulas that share nothing but what they read.
fn different(shop: &Shop, count: usize) -> Page {
    let names: Vec<String> = (0..count).map(|index| format!("f{index:03}")).collect();
    let metrics = peers::KEYSPACE.split_inclusive("formulas:\n").next().unwrap();
    let formula = |(index, name): (usize, &String)| {
        format!(
            "  {name}: '(orders + {index}) / visits - moving_sum(revenue * {index}, \"10m\") / sum_by(visits + {index})'\n"
        )
    };
    let formulas: String = names.iter().enumerate().map(formula).collect();
    Page::new(shop, &format!("{metrics}{formulas}"), &names)
}

/// The time of a unit beside that of a decade before, and the growth over all decades. A unit may cost less, as what is done once
/// is shared by more, and somewhat more, where columns no longer fit into the caches.
fn decades(what: &str, counts: &[usize], page: impl Fn(usize) -> Page) {
    let pages: Vec<Page> = counts.iter().map(|count| page(*count)).collect();
    let names: Vec<String> = counts.iter().map(|count| format!("{count} {what}")).collect();
    let mut contestants: Vec<Contestant<'_>> = (pages.iter().zip(&names))
        .map(|(page, name)| Contestant::new(name, || drop(black_box(page.evaluate()))))
        .collect();
    take_turns(&mut contestants, 15);
    for (pair, count) in contestants.windows(2).zip(counts.windows(2)) {
        let by = (count[1] / count[0]) as f64;
        let name = format!("a unit of {} by one of {}", count[1], count[0]);
        tell(&name, pair[1].ratio_to(&pair[0]).map(|ratio| ratio / by));
    }
    if let ([first, .., last], [fewest, .., most]) = (&contestants[..], counts) {
        let by = (most / fewest) as f64;
        at_most("exponent over all of it", last.ratio_to(first).map(|ratio| ratio.ln() / by.ln()), BOUND);
    }
}
