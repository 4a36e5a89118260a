#include "flag/verified_sample.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <utility>

#include "flag/cheap_pass.h"

namespace slidecell {
namespace {

// One of the numbers of a stretch of 0 .. count-1.
std::int64_t drawn_number(std::int64_t count, std::int64_t stretches, std::int64_t stretch,
                          int sample) {
  const std::int64_t each = count / stretches, longer = count % stretches;
  const std::int64_t first = stretch * each + std::min(stretch, longer);
  const auto length = static_cast<std::uint64_t>(each + (stretch < longer ? 1 : 0));
  // No hash of seams.
  const std::uint64_t own = 0x5EA1ED + static_cast<std::uint64_t>(sample);
  return first + static_cast<std::int64_t>(
                     hash_of(static_cast<std::uint64_t>(stretch) ^ own << 32) % length);
}

struct Part {
  std::vector<std::int64_t> rows, windows;
  std::int64_t seen = 0;  // decisions so far
};

}  // namespace

template <class Visit>
void CheapDecisions::for_each(const JudgedRows& rows, Visit visit) const {
  std::size_t after_cheap = 0;  // the row after the last one with a cheap score
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (!exact_[rows.row(i)]) after_cheap = i + 1;
    if (after_cheap > rows.oldest(i)) visit(i);
  }
}

CheapDecisions::CheapDecisions(const JudgedPieces& pieces, const float* score,
                               const std::uint8_t* exact)
    : pieces_(pieces), score_(score), exact_(exact) {
  counts_ = pieces_.map<std::int64_t>(
      score_, [&](const JudgedRows& rows, std::int64_t, std::int64_t& count) {
        for_each(rows, [&](std::size_t) { ++count; });
      });
  count_ = std::accumulate(counts_.begin(), counts_.end(), std::int64_t{0});
}

VerifiedSample CheapDecisions::draw(std::int64_t stretches, int sample) const {
  std::vector<std::int64_t> draws;
  for (std::int64_t i = 0; i < stretches; ++i) {
    draws.push_back(drawn_number(count_, stretches, i, sample));
  }
  std::vector<Part> parts(counts_.size());
  std::int64_t before = 0;
  for (std::size_t p = 0; p < parts.size(); ++p) {
    parts[p].seen = before;
    before += counts_[p];
  }
  parts = pieces_.map(
      score_,
      [&](const JudgedRows& rows, std::int64_t, Part& part) {
        auto next = std::lower_bound(draws.begin(), draws.end(), part.seen);
        for_each(rows, [&](std::size_t i) {
          const bool taken = next != draws.end() && *next == part.seen;
          ++part.seen;
          if (!taken) return;
          ++next;
          part.rows.push_back(rows.row(i));
          for (std::size_t j = rows.oldest(i); j <= i; ++j) {
            const std::int64_t w = rows.window(j);
            if (exact_[rows.row(j)]) continue;
            if (part.windows.empty() || part.windows.back() < w) part.windows.push_back(w);
          }
        });
      },
      std::move(parts));
  VerifiedSample all;
  for (const Part& part : parts) {
    all.rows.insert(all.rows.end(), part.rows.begin(), part.rows.end());
    all.windows.insert(all.windows.end(), part.windows.begin(), part.windows.end());
  }
  return all;
}

}  // namespace slidecell
