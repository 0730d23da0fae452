// The compiler wants a source to make a precompiled header for.
