// Memory for the steps that forward passes keep, lent as arrays.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "bindings.h"

// Memory that one forward pass after the other keeps its steps in. A buffer comes back when the
// array that take() gave is gone. Fresh memory would cost a page fault per 4 KiB in every step of
// a training: about 2 ms of 18 for 22 MB. It holds no more than was in use at once.
class TrainingMemory {
 public:
  py::array_t<float> take(std::int64_t size) {
    auto loan = std::make_unique<Loan>(Loan{shelf_, shelf_->take(size)});
    float* const data = loan->buffer.data.get();
    const py::capsule owner(loan.get(), [](void* p) {
      const std::unique_ptr<Loan> back(static_cast<Loan*>(p));
      back->shelf->put(std::move(back->buffer));
    });
    loan.release();
    return py::array_t<float>(std::vector<std::int64_t>{size}, data, owner);
  }
  void clear() { shelf_->clear(); }

 private:
  struct Free {
    void operator()(float* p) const { ::operator delete(p, kLine); }
  };
  struct Buffer {
    std::unique_ptr<float, Free> data;
    std::int64_t size = 0;
  };
  class Shelf {
   public:
    Buffer take(std::int64_t size) {
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        buffers_.reserve(buffers_.size() + ++lent_);  // put() must not throw
        const auto fits = std::find_if(buffers_.begin(), buffers_.end(),
                                       [&](const Buffer& b) { return b.size >= size; });
        if (fits != buffers_.end()) {
          Buffer found = std::move(*fits);
          buffers_.erase(fits);
          return found;
        }
        buffers_.clear();  // too small
      }
      const std::size_t bytes = static_cast<std::size_t>(size) * sizeof(float);
      return {std::unique_ptr<float, Free>(static_cast<float*>(::operator new(bytes, kLine))),
              size};
    }
    void put(Buffer buffer) {
      const std::lock_guard<std::mutex> lock(mutex_);
      --lent_;
      buffers_.push_back(std::move(buffer));
    }
    void clear() {
      const std::lock_guard<std::mutex> lock(mutex_);
      buffers_.clear();
    }

   private:
    std::mutex mutex_;
    std::size_t lent_ = 0;
    std::vector<Buffer> buffers_;
  };
  struct Loan {
    std::shared_ptr<Shelf> shelf;
    Buffer buffer;
  };
  static constexpr std::align_val_t kLine{64};  // of the cache

  std::shared_ptr<Shelf> shelf_ = std::make_shared<Shelf>();
};
