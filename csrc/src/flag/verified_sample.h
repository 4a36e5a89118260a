// The decisions that rest on cheap scores, and samples of them to verify.
#pragma once

#include <cstdint>
#include <vector>

#include "flag/judged_pieces.h"

namespace slidecell {

// Rows whose decisions are verified, and the windows that these rest on.
struct VerifiedSample {
  std::vector<std::int64_t> rows, windows;  // ascending
  std::vector<double> distances;            // of the windows
};

class CheapDecisions {
 public:
  // score, exact: [S]; they must not change while this lives.
  CheapDecisions(const JudgedPieces& pieces, const float* score, const std::uint8_t* exact);

  std::int64_t count() const { return count_; }

  // One of each of so many equal stretches, chosen by a hash; another one in each sample. The
  // distances are left empty.
  VerifiedSample draw(std::int64_t stretches, int sample) const;

 private:
  // Calls visit for the rows whose decision rests on a cheap score, in order.
  template <class Visit>
  void for_each(const JudgedRows& rows, Visit visit) const;

  const JudgedPieces& pieces_;
  const float* score_;
  const std::uint8_t* exact_;
  std::vector<std::int64_t> counts_;  // of the pieces
  std::int64_t count_ = 0;
};

}  // namespace slidecell
