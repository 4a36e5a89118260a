// How many threads a call runs on, also in a child that was forked after threads had started.
#pragma once

namespace slidecell {

// The threads that a call runs on: num_threads, or the default for 0; 1 where a fork has left the
// OpenMP runtime unusable. Throws std::invalid_argument if negative.
int resolve_threads(int num_threads);

// Remembers that the OpenMP runtime has started threads in this process.
void note_parallel_region();

}  // namespace slidecell
