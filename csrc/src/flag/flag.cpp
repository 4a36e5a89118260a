#include "flag/flag.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "flag/cheap_pass.h"
#include "flag/choose_pass.h"
#include "flag/judged_rows.h"
#include "flag/margins.h"
#include "score/carried.h"
#include "score/option_rules.h"
#include "score/score.h"

namespace slidecell {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr std::int64_t kPilot = 16;            // one block of so many is tried first
constexpr double kWorthIt = 0.8;               // steps of an exact score that a cheap way may take
constexpr std::int64_t kRowsPerVerified = 40;  // below, verification alone costs too much
constexpr double kRuleOfThree = 3;             // no miss in n draws: at most 3 / n, at 95 %

class Flagger {
 public:
  Flagger(const ModelParts& model, const SeriesView& series, const WindowPlan& plan,
          const Thresholds& thresholds, const FlagOptions& options, std::uint8_t* flagged,
          float* score, std::uint8_t* exact)
      : model_(model),
        series_(series),
        plan_(plan),
        thresholds_(thresholds),
        options_(options),
        exact_options_(exact_options(options)),
        rows_(plan, options),
        margins_(plan.num_entities(), absolute()),
        flagged_(flagged),
        score_(score),
        exact_(exact) {
    std::fill(exact, exact + series.rows, std::uint8_t{0});
    audit_.absolute = absolute();
    audit_.seam_p99 = kNone;
    audit_.margin.assign(static_cast<std::size_t>(plan.num_entities()), kNone);
  }

  FlagAudit run() {
    const std::unique_ptr<CheapPass> pass = choose();
    if (!pass || !speculate(*pass)) compute_all();
    raise();
    return std::move(audit_);
  }

 private:
  static ScoreOptions exact_options(const FlagOptions& options) {
    ScoreOptions exact;
    exact.reduction = options.reduction;
    exact.stride = options.stride;
    exact.num_threads = options.num_threads;
    return exact;
  }

  // Logarithms take positive numbers.
  bool absolute() const {
    return takes_variance(options_.reduction) || !thresholds_.any_positive();
  }

  void note(const std::string& reason) { audit_.reasons.push_back(reason); }

  // The pass to run; null: none.
  std::unique_ptr<CheapPass> choose() {
    const PassMaker maker{model_, series_, plan_, exact_options_};
    if (options_.speculate != Speculate::automatic) return maker.named(options_.speculate);
    if (plan_.size() / kRowsPerVerified < options_.audit) {
      note(std::to_string(plan_.size()) + " windows, fewer than " +
           std::to_string(kRowsPerVerified) + " times audit=" + std::to_string(options_.audit));
      return nullptr;
    }
    for (std::unique_ptr<CheapPass>& pass : maker.candidates(audit_.reasons)) {
      if (options_.certify && !pass->carries_states()) continue;
      if (pays(*pass)) return std::move(pass);
    }
    return nullptr;
  }

  // By counts, on some of the blocks: steps that a window takes in all.
  bool pays(const CheapPass& pass) {
    std::vector<std::int64_t> blocks, whole;
    for (std::int64_t b = pass.blocks() / 2 % kPilot; b < pass.blocks(); b += kPilot) {
      blocks.push_back(b);
    }
    const std::vector<MeasuredSeam> seams = pass.score_blocks(blocks, score_);
    margins_ = Margins(plan_.num_entities(), absolute());
    if (!margins_.measure(seams, thresholds_, whole)) {
      note(std::string(pass.name()) + ": no seam among every 16th block");
      return false;
    }
    std::sort(whole.begin(), whole.end());
    std::int64_t again = 0, all = 0;
    for (const std::int64_t b : blocks) {
      const bool is_whole = std::binary_search(whole.begin(), whole.end(), b);
      for_entities(pass.windows(b), [&](std::int64_t g, WindowRange range) {
        rows_.load(g, range, score_);
        all += static_cast<std::int64_t>(rows_.size());
        if (is_whole) {
          again += static_cast<std::int64_t>(rows_.size());
        } else {
          for_undecided(g, [&](std::size_t) { ++again; });
        }
      });
    }
    const auto W = static_cast<double>(plan_.window());
    const double averaged = static_cast<double>(
        std::max<std::int64_t>({1, options_.moving_average, options_.trailing_mean}));
    const double share =
        static_cast<double>(again) / static_cast<double>(std::max<std::int64_t>(1, all)) +
        averaged * static_cast<double>(options_.audit) / static_cast<double>(plan_.size());
    // A younger chain starts half a window before blocks of that length.
    const double steps =
        pass.steps() + (options_.certify ? 2.0 * static_cast<double>(plan_.stride()) : 0.0);
    if (steps + W * share <= kWorthIt * W) return true;
    char text[160];
    std::snprintf(text, sizeof text,
                  "%s: would not pay: %.3g steps a window and %.3g %% of them again, of %.0f steps",
                  pass.name(), steps, 100 * share, W);
    note(text);
    return false;
  }

  // False: everything must be computed exactly.
  bool speculate(const CheapPass& pass) {
    const std::vector<MeasuredSeam> seams = pass.score(score_);
    margins_ = Margins(plan_.num_entities(), absolute());
    pending_.clear();
    if (!margins_.measure(seams, thresholds_, pending_)) {
      if (plan_.size() > 0) note(std::string(pass.name()) + ": no seam gives a distance");
      return false;
    }
    if (options_.certify) measure_rows();
    audit_.seams = margins_.seams();
    audit_.seam_p99 = margins_.p99();
    for (const MeasuredSeam& seam : seams) {
      if (std::isnan(score_[seam.row])) continue;  // no window of the stride, or without a score
      score_[seam.row] = seam.exact;
      exact_[seam.row] = 1;
    }
    whole_.assign(static_cast<std::size_t>(pass.blocks()), 0);
    refine(pass);
    const bool right = verify();
    // What was verified moves the averages of its neighbours.
    if (right) refine(pass);
    audit_.whole_blocks = std::count(whole_.begin(), whole_.end(), 1);
    for (std::int64_t g = 0; g < plan_.num_entities(); ++g) {
      audit_.margin[static_cast<std::size_t>(g)] = margins_.margin(g);
    }
    if (!right) return false;
    audit_.method = pass.name();
    return true;
  }

  // The distance of every cheap score from that of a younger chain, which remembers less.
  void measure_rows() {
    std::vector<float> young(static_cast<std::size_t>(series_.rows),
                             std::numeric_limits<float>::quiet_NaN());
    younger_scores(model_, series_, plan_, exact_options_, young.data());
    own_.assign(young.size(), 0.0);
    for (std::int64_t g = 0; g < plan_.num_entities(); ++g) {
      const auto i = static_cast<std::size_t>(g);
      for (std::int64_t row = plan_.offsets()[i]; row < plan_.offsets()[i + 1]; ++row) {
        if (std::isnan(score_[row])) continue;
        const auto r = static_cast<std::size_t>(row);
        const double d = margins_.distance(score_[row], young[r], thresholds_.at(g, row));
        own_[r] = std::isnan(d) ? std::numeric_limits<double>::infinity() : d;
      }
    }
    audit_.certified = true;
  }

  // The largest such distance of the cheap scores that row i of rows_ rests on.
  double own_distance(std::size_t i) const {
    double largest = 0;
    if (own_.empty()) return largest;
    for (std::size_t j = rows_.oldest(i); j <= i; ++j) {
      const std::int64_t row = rows_.row(j);
      if (!exact_[row]) largest = std::max(largest, own_[static_cast<std::size_t>(row)]);
    }
    return largest;
  }

  // Computes exactly what is flagged or within the margin, until nothing is added.
  void refine(const CheapPass& pass) {
    for (;;) {
      std::vector<std::int64_t> chosen = undecided();
      for (const std::int64_t b : pending_) add_block(pass, b, chosen);
      pending_.clear();
      std::sort(chosen.begin(), chosen.end());
      chosen.erase(std::unique(chosen.begin(), chosen.end()), chosen.end());
      if (chosen.empty()) return;
      join(pass, chosen, compute(chosen));
    }
  }

  void add_block(const CheapPass& pass, std::int64_t block, std::vector<std::int64_t>& chosen) {
    whole_[static_cast<std::size_t>(block)] = 1;
    const WindowRange range = pass.windows(block);
    for (std::int64_t w = range.first; w < range.end; ++w) {
      const std::int64_t row = score_row(plan_, w);
      if (!exact_[row] && !std::isnan(score_[row])) chosen.push_back(w);
    }
  }

  // The distances of the chosen windows; those of blocks that are computed whole count for nothing
  // else.
  void join(const CheapPass& pass, const std::vector<std::int64_t>& chosen,
            const std::vector<double>& distances) {
    std::vector<std::int64_t> entities;
    entities.reserve(chosen.size());
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      entities.push_back(plan_.entity_of(chosen[i]));
      if (!margins_.beyond(entities[i], distances[i])) continue;
      const std::int64_t block = pass.block_of(entities[i], chosen[i]);
      if (whole_[static_cast<std::size_t>(block)]) continue;
      whole_[static_cast<std::size_t>(block)] = 1;
      pending_.push_back(block);
    }
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      if (std::isnan(distances[i])) continue;
      const std::int64_t block = pass.block_of(entities[i], chosen[i]);
      if (!whole_[static_cast<std::size_t>(block)]) margins_.join(entities[i], distances[i]);
    }
  }

  // Exact scores of these windows, in the place of their cheap ones: the distances between them.
  std::vector<double> compute(const std::vector<std::int64_t>& chosen) {
    std::vector<float> cheap;
    cheap.reserve(chosen.size());
    for (const std::int64_t w : chosen) cheap.push_back(score_[score_row(plan_, w)]);
    score_chosen_windows(model_, series_, plan_, exact_options_, chosen, score_);
    std::vector<double> distances;
    distances.reserve(chosen.size());
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      const std::int64_t row = score_row(plan_, chosen[i]);
      exact_[row] = 1;
      distances.push_back(margins_.distance(cheap[i], score_[row],
                                            thresholds_.at(plan_.entity_of(chosen[i]), row)));
    }
    return distances;
  }

  // Windows that are not exact, on which a decision rests that could be another one.
  std::vector<std::int64_t> undecided() {
    std::vector<std::int64_t> chosen;
    for_entities({0, plan_.size()}, [&](std::int64_t g, WindowRange range) {
      rows_.load(g, range, score_);
      for_undecided(g, [&](std::size_t i) {
        if (!exact_[rows_.row(i)]) chosen.push_back(rows_.window(i));
      });
    });
    return chosen;
  }

  // Calls visit for the rows that undecided ones rest on, each once, in order.
  template <class Visit>
  void for_undecided(std::int64_t g, Visit visit) {
    std::size_t next = 0;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      const double threshold = thresholds_.at(g, rows_.row(i));
      if (rows_.value(i) < margins_.least_undecided(g, threshold, own_distance(i))) continue;
      for (std::size_t j = std::max(next, rows_.oldest(i)); j <= i; ++j) visit(j);
      next = i + 1;
    }
  }

  // Calls visit for the rows whose decision rests on a cheap score, in order.
  template <class Visit>
  void for_cheap(Visit visit) {
    for_entities({0, plan_.size()}, [&](std::int64_t g, WindowRange range) {
      rows_.load(g, range, score_);
      std::size_t after_cheap = 0;  // the row after the last one with a cheap score
      for (std::size_t i = 0; i < rows_.size(); ++i) {
        if (!exact_[rows_.row(i)]) after_cheap = i + 1;
        if (after_cheap > rows_.oldest(i)) visit(i);
      }
    });
  }

  // Computes exactly, in each of `audit` equal stretches of what stayed cheap, the scores of one
  // row. False if one lies above its threshold: none did.
  bool verify() {
    std::int64_t cheap = 0;
    for_cheap([&](std::size_t) { ++cheap; });
    const std::int64_t stretches = std::min(cheap, options_.audit);
    audit_.cheap = cheap;
    audit_.verified = stretches;
    audit_.wrong_at_most = stretches == cheap ? 0
                                              : kRuleOfThree * static_cast<double>(cheap) /
                                                    static_cast<double>(stretches);
    std::vector<std::int64_t> sample, chosen;  // rows, windows
    std::int64_t seen = 0, stretch = 0;
    std::int64_t drawn = cheap > 0 ? draw(cheap, stretches, 0) : -1;
    for_cheap([&](std::size_t i) {
      if (seen++ != drawn) return;
      sample.push_back(rows_.row(i));
      for (std::size_t j = rows_.oldest(i); j <= i; ++j) {
        const std::int64_t w = rows_.window(j);
        if (!exact_[rows_.row(j)] && (chosen.empty() || chosen.back() < w)) chosen.push_back(w);
      }
      if (++stretch < stretches) drawn = draw(cheap, stretches, stretch);
    });
    compute(chosen);
    std::size_t next = 0;
    for_entities({0, plan_.size()}, [&](std::int64_t g, WindowRange range) {
      if (next == sample.size()) return;
      rows_.load(g, range, score_);
      for (std::size_t i = 0; i < rows_.size() && next < sample.size(); ++i) {
        if (rows_.row(i) != sample[next]) continue;
        ++next;
        audit_.wrong += rows_.value(i) > thresholds_.at(g, rows_.row(i)) ? 1 : 0;
      }
    });
    if (audit_.wrong == 0) return true;
    note(std::to_string(audit_.wrong) + " of " + std::to_string(audit_.verified) +
         " verified decisions were wrong");
    return false;
  }

  // One of the numbers of a stretch of 0 .. count-1.
  static std::int64_t draw(std::int64_t count, std::int64_t stretches, std::int64_t stretch) {
    const std::int64_t each = count / stretches, longer = count % stretches;
    const std::int64_t first = stretch * each + std::min(stretch, longer);
    const auto length = static_cast<std::uint64_t>(each + (stretch < longer ? 1 : 0));
    constexpr std::uint64_t kOwn = 0x5EA1ED;  // no hash of seams
    return first + static_cast<std::int64_t>(
                       hash_of(static_cast<std::uint64_t>(stretch) ^ kOwn << 32) % length);
  }

  void compute_all() {
    score_windows(model_, series_, plan_, exact_options_, score_);
    for (std::int64_t row = 0; row < series_.rows; ++row) exact_[row] = !std::isnan(score_[row]);
    audit_.method = "exact";
    audit_.certified = false;
    audit_.cheap = 0;
    audit_.wrong_at_most = 0;
    std::fill(audit_.margin.begin(), audit_.margin.end(), kNone);
  }

  void raise() {
    std::fill(flagged_, flagged_ + series_.rows, std::uint8_t{0});
    for_entities({0, plan_.size()}, [&](std::int64_t g, WindowRange range) {
      rows_.load(g, range, score_);
      audit_.windows += static_cast<std::int64_t>(rows_.size());
      for (std::size_t i = 0; i < rows_.size(); ++i) {
        const std::int64_t row = rows_.row(i);
        audit_.exact += exact_[row];
        flagged_[row] = rows_.value(i) > thresholds_.at(g, row);
      }
    });
    // Rows that are too large score infinity where no window ends, too.
    for (std::int64_t g = 0; g < plan_.num_entities(); ++g) {
      const auto i = static_cast<std::size_t>(g);
      for (std::int64_t row = plan_.offsets()[i]; row < plan_.offsets()[i + 1]; ++row) {
        if (!std::isinf(score_[row])) continue;
        exact_[row] = 1;
        flagged_[row] = static_cast<double>(score_[row]) > thresholds_.at(g, row);
      }
    }
  }

  // Calls visit(entity, windows) for each entity that has some of these windows.
  template <class Visit>
  void for_entities(WindowRange range, Visit visit) const {
    if (range.first >= range.end) return;
    const Span<const std::int64_t> first = plan_.first_window();
    for (std::int64_t g = plan_.entity_of(range.first); g < plan_.num_entities(); ++g) {
      const auto i = static_cast<std::size_t>(g);
      if (first[i] >= range.end) break;
      if (first[i] == first[i + 1]) continue;
      visit(g, WindowRange{std::max(range.first, first[i]), std::min(range.end, first[i + 1])});
    }
  }

  const ModelParts& model_;
  const SeriesView& series_;
  const WindowPlan& plan_;
  const Thresholds& thresholds_;
  const FlagOptions& options_;
  ScoreOptions exact_options_;
  JudgedRows rows_;
  Margins margins_;
  std::vector<double> own_;            // [S] distances of rows; or empty
  std::vector<std::uint8_t> whole_;    // [blocks] computed exactly whole
  std::vector<std::int64_t> pending_;  // blocks that are to be
  FlagAudit audit_;
  std::uint8_t* flagged_;
  float* score_;
  std::uint8_t* exact_;
};

}  // namespace

FlagAudit flag_windows(const ModelParts& model, const SeriesView& series, const WindowPlan& plan,
                       const Thresholds& thresholds, const FlagOptions& options,
                       std::uint8_t* flagged, float* score, std::uint8_t* exact) {
  return Flagger(model, series, plan, thresholds, options, flagged, score, exact).run();
}

}  // namespace slidecell
