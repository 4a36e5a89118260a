// How far cheap scores are from exact ones, and what of them that leaves undecided.
#pragma once

#include <cstdint>
#include <vector>

#include "flag/cheap_pass.h"
#include "flag/thresholds.h"

namespace slidecell {

// Distances between cheap and exact scores, per entity; entities with fewer than 64 of them share
// theirs. A distance beyond max(10 times the 90 % quantile, 1e-5) of the seams is no measure of the
// others: it counts for its own block alone, which is computed exactly.
class Margins {
 public:
  Margins(std::int64_t entities, bool absolute) : group_of_(Size(entities)), absolute_(absolute) {}

  // |log((exact + t/10) / (cheap + t/10))|, or |exact - cheap|. NaN where a score is not finite,
  // or the threshold, and for logarithms where it is not positive.
  double distance(float cheap, float exact, double threshold) const;

  // Takes the seams; false if none of them has a distance. Appends the blocks of those beyond the
  // limit.
  bool measure(const std::vector<MeasuredSeam>& seams, const Thresholds& thresholds,
               std::vector<std::int64_t>& blocks);

  bool beyond(std::int64_t entity, double distance) const { return distance > group(entity).limit; }
  // Takes another distance, within the limit, of a window that was computed exactly. Returns
  // whether the margin is wider.
  bool join(std::int64_t entity, double distance);

  // Takes a distance whatever the limit, which it raises.
  void cover(std::int64_t entity, double distance);

  // Multiplies every margin, which stays within twice its limit.
  void widen(double factor);

  // Twice the largest distance.
  double margin(std::int64_t entity) const { return 2 * group(entity).largest; }
  // The least cheap score that the margin does not keep below the threshold. own: a distance that
  // was measured for that very score, which widens the margin if twice it is more.
  double least_undecided(std::int64_t entity, double threshold, double own = 0) const;

  // Over all seams, those beyond the limits too.
  std::int64_t seams() const { return seams_; }
  double p99() const { return p99_; }

 private:
  struct Group {
    std::vector<double> distances;
    double limit = 0, largest = 0;
    double shrink = 1;  // exp(-margin)
    void set_limit();
    void set_largest(double distance);
  };
  static std::size_t Size(std::int64_t n) { return static_cast<std::size_t>(n); }
  const Group& group(std::int64_t entity) const { return groups_[group_of_[Size(entity)]]; }

  std::vector<std::size_t> group_of_;  // [G] its group: 0 is the shared one
  std::vector<Group> groups_;
  bool absolute_;
  std::int64_t seams_ = 0;
  double p99_ = 0;
};

}  // namespace slidecell
