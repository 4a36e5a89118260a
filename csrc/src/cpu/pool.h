// Threads that wait for work, shared by all calls of a process.
#pragma once

namespace slidecell {

// Runs body(context) at the same time on this thread and on up to threads - 1 others, and returns
// when all have ended; the body must not throw. Where the system has no more threads, fewer take
// part: this thread always does.
void run_on_threads(int threads, void (*body)(void*), void* context);

}  // namespace slidecell
