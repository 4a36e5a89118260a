// Threads that wait for work, shared by all calls of a process.
#pragma once

namespace slidecell {

// Runs body(context) on this thread and at the same time on up to threads - 1 others, and returns
// when all that have begun have ended. The body must not throw, and must leave no work when it
// returns on this thread: a thread that has not begun by then never will. Where the system has no
// more threads, fewer take part: this thread always does. Throws std::runtime_error in a child that
// this thread forked from inside the body.
void run_on_threads(int threads, void (*body)(void*), void* context);

}  // namespace slidecell
