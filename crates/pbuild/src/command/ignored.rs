//! Flags of the builder before BuildKit, which docker still accepts and which have no effect with BuildKit, and
//! docker's flag for the log of its client, which pbuild does not have.

use clap::Args;

/// Flags that are accepted with a warning, so that scripts go on working.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct IgnoredOptions {
    #[arg(short = 'D', long, hide = true)]
    debug: bool,
    #[arg(long, hide = true)]
    compress: bool,
    #[arg(long, hide = true)]
    squash: bool,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    rm: Option<String>,
    #[arg(long, hide = true)]
    force_rm: bool,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    disable_content_trust: Option<String>,
    #[arg(long, hide = true)]
    isolation: Option<String>,
    #[arg(long, hide = true)]
    security_opt: Vec<String>,
    #[arg(short, long, hide = true)]
    memory: Option<String>,
    #[arg(long, hide = true)]
    memory_swap: Option<String>,
    #[arg(short, long, hide = true)]
    cpu_shares: Option<String>,
    #[arg(long, hide = true)]
    cpu_period: Option<String>,
    #[arg(long, hide = true)]
    cpu_quota: Option<String>,
    #[arg(long, hide = true)]
    cpuset_cpus: Option<String>,
    #[arg(long, hide = true)]
    cpuset_mems: Option<String>,
}

impl IgnoredOptions {
    /// Returns the flags that were given and have no effect.
    pub(crate) fn given(&self) -> Vec<&'static str> {
        let Self { debug, compress, squash, rm, force_rm, isolation, security_opt, memory, memory_swap, .. } = self;
        let Self { disable_content_trust, cpu_shares, cpu_period, cpu_quota, cpuset_cpus, cpuset_mems, .. } = self;
        [
            ("--debug", *debug),
            ("--compress", *compress),
            ("--squash", *squash),
            ("--rm", rm.is_some()),
            ("--force-rm", *force_rm),
            ("--disable-content-trust", disable_content_trust.is_some()),
            ("--isolation", isolation.is_some()),
            ("--security-opt", !security_opt.is_empty()),
            ("--memory", memory.is_some()),
            ("--memory-swap", memory_swap.is_some()),
            ("--cpu-shares", cpu_shares.is_some()),
            ("--cpu-period", cpu_period.is_some()),
            ("--cpu-quota", cpu_quota.is_some()),
            ("--cpuset-cpus", cpuset_cpus.is_some()),
            ("--cpuset-mems", cpuset_mems.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, given)| given.then_some(name))
        .collect()
    }
}
