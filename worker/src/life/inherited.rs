//! What the supervisor handed over: descriptors by name, generation, predecessor.
