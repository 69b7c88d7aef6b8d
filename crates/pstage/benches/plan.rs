//! Measures how long a plan takes: of a first start, of a roll, and of nothing to do, with 1,000 processes of 10
//! instances each and with a tenth of them. If the times differ by more than ten times, planning is not linear.

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pstage::{Edge, Inventory, Journal, Need, Process, SealedGeneration, SeenGeneration, Standing};

/// The number of instances of each process.
const REPLICAS: u32 = 10;

fn need(processes: u32, digest: &str) -> Need {
    let process = |at| Process { name: format!("process-{at}"), replicas: REPLICAS, has_new_check: false };
    let processes = (0..processes).map(process).collect();
    Need { processes, digest: digest.to_owned(), is_published: true, ..Need::default() }
}

/// What is journaled and seen when generation 1 of this need runs.
fn running(need: &Need) -> (Journal, Inventory) {
    let current = SealedGeneration { number: 1, digest: "one".to_owned(), is_recorded: true };
    let instances = need.instances().map(|instance| (instance, Standing::Healthy)).collect();
    let generations = BTreeMap::from([(1, SeenGeneration { has_values: true, instances })]);
    let inventory = Inventory { has_network: true, generations, edge: Edge::At(1), ..Inventory::default() };
    (Journal { services: Vec::new(), newest: 1, current: Some(current) }, inventory)
}

fn plans(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("plan");
    for processes in [100, 1000] {
        let (same, other) = (need(processes, "one"), need(processes, "two"));
        let (journal, inventory) = running(&same);
        let nothing = (Journal::default(), Inventory { has_network: true, ..Inventory::default() });
        group.throughput(Throughput::Elements(u64::from(processes * REPLICAS)));
        for (name, need, journal, inventory) in [
            ("first start", &same, &nothing.0, &nothing.1),
            ("roll", &other, &journal, &inventory),
            ("nothing to do", &same, &journal, &inventory),
        ] {
            group.bench_function(BenchmarkId::new(name, processes), |bencher| {
                bencher.iter(|| black_box(pstage::next(need, journal, inventory)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, plans);
criterion_main!(benches);
