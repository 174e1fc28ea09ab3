//! A connection at work: its thread, its channels, its files. And how many there are of each host.
