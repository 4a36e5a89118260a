#include "stream/background.h"

#include <mutex>

#ifdef __unix__
#include <pthread.h>
#endif

namespace slidecell {
namespace {

std::mutex& all_mutex() {
  static std::mutex* const mutex = new std::mutex;  // for streams that outlive static objects
  return *mutex;
}

Background* all = nullptr;

}  // namespace

void Background::watch_forks() {
#ifdef __unix__
  static const int registered = pthread_atfork(
      [] {
        all_mutex().lock();
        for (Background* each = all; each; each = each->next_) each->wait();
      },
      [] { all_mutex().unlock(); },
      [] {
        for (Background* each = all; each; each = each->next_) {
          each->lost_ = true;
          each->busy_.store(false, std::memory_order_relaxed);
        }
        all_mutex().unlock();
      });
  (void)registered;
#endif
}

void Background::enlist() {
  watch_forks();
  const std::lock_guard<std::mutex> lock(all_mutex());
  next_ = all;
  if (all) all->previous_ = this;
  all = this;
}

void Background::retire() noexcept {
  const std::lock_guard<std::mutex> lock(all_mutex());
  (previous_ ? previous_->next_ : all) = next_;
  if (next_) next_->previous_ = previous_;
}

}  // namespace slidecell
