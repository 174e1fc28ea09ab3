//! Clients as they are: scripts that half-close, probes, proxies, scrapers; and what happens to the
//! two programs from outside: releases that are switched, processes that are stopped and killed.

mod encodings;
mod half_close;
mod metrics;
mod orphans;
mod probes;
mod refusals;
mod releases;
mod stops;
mod wire;
