#include "flag/margins.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace slidecell {
namespace {

constexpr std::size_t kOwnSeams = 64;  // below, entities share a margin
constexpr double kLeastLimit = 1e-5;
constexpr double kLimitOverQuantile = 10;
constexpr double kSafety = 2;  // margin over the largest distance

// The smallest of the values that is no smaller than a share of them.
double quantile(std::vector<double> values, double share) {
  const auto n = static_cast<double>(values.size());
  const auto rank = static_cast<std::ptrdiff_t>(std::max(0.0, std::ceil(share * n) - 1));
  std::nth_element(values.begin(), values.begin() + rank, values.end());
  return values[static_cast<std::size_t>(rank)];
}

}  // namespace

void Margins::Group::set_limit() {
  limit = std::max(kLimitOverQuantile * quantile(distances, 0.9), kLeastLimit);
  for (const double d : distances) {
    if (d <= limit) set_largest(d);
  }
}

void Margins::Group::set_largest(double distance) {
  if (distance < largest) return;
  largest = distance;
  shrink = std::exp(-kSafety * largest);
}

double Margins::distance(float cheap, float exact, double threshold) const {
  if (!std::isfinite(cheap) || !std::isfinite(exact) || !std::isfinite(threshold)) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  const auto c = static_cast<double>(cheap), e = static_cast<double>(exact);
  if (absolute_) return std::abs(e - c);
  if (threshold <= 0) return std::numeric_limits<double>::quiet_NaN();
  if (c == e) return 0;  // also where t / 10 and both are 0
  return std::abs(std::log((e + threshold / 10) / (c + threshold / 10)));
}

bool Margins::measure(const std::vector<MeasuredSeam>& seams, const Thresholds& thresholds,
                      std::vector<std::int64_t>& blocks) {
  std::vector<double> distances, all;
  std::vector<std::size_t> count(group_of_.size());
  for (const MeasuredSeam& s : seams) {
    const double d = distance(s.cheap, s.exact, thresholds.at(s.entity, s.row));
    distances.push_back(d);
    if (std::isnan(d)) continue;
    all.push_back(d);
    ++count[Size(s.entity)];
  }
  seams_ = static_cast<std::int64_t>(all.size());
  if (all.empty()) return false;
  p99_ = quantile(all, 0.99);
  groups_.assign(1, {});
  for (std::size_t g = 0; g < count.size(); ++g) {
    group_of_[g] = count[g] < kOwnSeams ? 0 : groups_.size();
    if (group_of_[g] != 0) groups_.emplace_back();
  }
  for (std::size_t i = 0; i < seams.size(); ++i) {
    if (std::isnan(distances[i])) continue;
    groups_[group_of_[Size(seams[i].entity)]].distances.push_back(distances[i]);
  }
  // Entities without any seam beside others that have many.
  if (groups_[0].distances.empty()) groups_[0].distances = all;
  for (Group& group : groups_) group.set_limit();
  for (std::size_t i = 0; i < seams.size(); ++i) {
    if (beyond(seams[i].entity, distances[i])) blocks.push_back(seams[i].block);
  }
  return true;
}

bool Margins::join(std::int64_t entity, double distance) {
  Group& group = groups_[group_of_[Size(entity)]];
  if (distance <= group.largest) return false;
  group.set_largest(distance);
  return true;
}

void Margins::cover(std::int64_t entity, double distance) {
  Group& group = groups_[group_of_[Size(entity)]];
  group.limit = std::max(group.limit, distance);
  group.set_largest(distance);
}

void Margins::widen(double factor) {
  for (Group& group : groups_) group.set_largest(std::min(group.limit, factor * group.largest));
}

double Margins::least_undecided(std::int64_t entity, double threshold, double own) const {
  if (!std::isfinite(threshold)) return threshold;
  const double wide = std::max(margin(entity), kSafety * own);
  if (absolute_) return threshold - wide;
  if (threshold <= 0) return -std::numeric_limits<double>::infinity();  // no score is negative
  const double shrink = wide > margin(entity) ? std::exp(-wide) : group(entity).shrink;
  return std::min(threshold, 1.1 * threshold * shrink - threshold / 10);
}

}  // namespace slidecell
