//! One turn, step by step.
