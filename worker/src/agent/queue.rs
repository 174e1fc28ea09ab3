//! The queue: who claims, how many run, what wakes them.
