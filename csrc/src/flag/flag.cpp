#include "flag/flag.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "flag/cheap_pass.h"
#include "flag/choose_pass.h"
#include "flag/judged_pieces.h"
#include "flag/margins.h"
#include "flag/pilot.h"
#include "flag/undecided.h"
#include "flag/verified_sample.h"
#include "score/carried.h"
#include "score/option_rules.h"
#include "score/score.h"

namespace slidecell {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr std::int64_t kPilot = 16;            // one block of so many is tried first
constexpr std::int64_t kSecondPilot = 64;      // the same where another pass is known to pay
constexpr double kWorthIt = 0.8;               // steps of an exact score that a cheap way may take
constexpr double kBetter = 0.9;                // of a pass's steps that another one may take
constexpr std::int64_t kRowsPerVerified = 40;  // below, verification alone costs too much
constexpr double kRuleOfThree = 3;             // no miss in n draws: at most 3 / n, at 95 %
constexpr std::size_t kFewBeyond = 3;          // verified distances that a margin need not cover
constexpr int kMostSamples = 4;

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
        pieces_(plan, options),
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
    return cheapest(maker.candidates(audit_.reasons));
  }

  // By counts, on some of the blocks: the pass by which a window takes the fewest steps in all;
  // null if none pays.
  std::unique_ptr<CheapPass> cheapest(std::vector<std::unique_ptr<CheapPass>> passes) {
    const auto W = static_cast<double>(plan_.window());
    const double averaged = static_cast<double>(
        std::max<std::int64_t>({1, options_.moving_average, options_.trailing_mean}));
    const double verified =
        averaged * static_cast<double>(options_.audit) / static_cast<double>(plan_.size());
    JudgedRows rows(plan_, options_);
    std::unique_ptr<CheapPass> best;
    double least = kWorthIt * W;  // steps that the best of them takes
    double forgotten = 0;         // share that every chain computes again
    for (std::unique_ptr<CheapPass>& pass : passes) {
      if (options_.certify && !pass->carries_states()) continue;
      // A younger chain starts half a window before blocks of that length.
      const double steps =
          pass->steps() + (options_.certify ? 2.0 * static_cast<double>(plan_.stride()) : 0.0);
      const double known = pass->carries_states() ? forgotten : 0;
      const double most = best ? kBetter * least : least;  // counts are not exact
      if (steps + W * (known + verified) > most) {
        if (!best) note_steps(*pass, steps, known + verified);
        continue;
      }
      const Pilot pilot = try_some_blocks(*pass, plan_, thresholds_, absolute(),
                                          best ? kSecondPilot : kPilot, rows, score_);
      if (!pilot.measured) {
        note(std::string(pass->name()) + ": no seam among the blocks that were tried");
        continue;
      }
      // What chains of exact products forget too late, those of others do.
      if (pass->carries_states() && forgotten == 0) forgotten = pilot.again;
      const double total = steps + W * (pilot.again + verified);
      if (total <= most) {
        least = total;
        best = std::move(pass);
      } else if (!best) {
        note_steps(*pass, steps, pilot.again + verified);
      }
    }
    return best;
  }

  void note_steps(const CheapPass& pass, double steps, double share) {
    char text[160];
    std::snprintf(text, sizeof text,
                  "%s: would not pay: %.3g steps a window and %.3g %% of them again, of %lld steps",
                  pass.name(), steps, 100 * share, static_cast<long long>(plan_.window()));
    note(text);
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
    const bool right = verify_until_covered(pass);
    // What was verified moves the averages of its neighbours.
    if (right && pieces_.averages()) refine(pass);
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

  // The largest such distance of the cheap scores that row i of `rows` rests on.
  double own_distance(const JudgedRows& rows, std::size_t i) const {
    double largest = 0;
    if (own_.empty()) return largest;
    for (std::size_t j = rows.oldest(i); j <= i; ++j) {
      const std::int64_t row = rows.row(j);
      if (!exact_[row]) largest = std::max(largest, own_[static_cast<std::size_t>(row)]);
    }
    return largest;
  }

  // Computes exactly what is flagged or within the margin, until nothing is added.
  void refine(const CheapPass& pass) {
    for (bool again = true; again;) {
      std::vector<std::int64_t> chosen = undecided();
      for (const std::int64_t b : pending_) add_block(pass, b, chosen);
      pending_.clear();
      std::sort(chosen.begin(), chosen.end());
      chosen.erase(std::unique(chosen.begin(), chosen.end()), chosen.end());
      if (chosen.empty()) return;
      // Exact scores alone leave nothing new undecided, but in averages.
      const bool wider = join(pass, chosen, compute(chosen));
      again = wider || pieces_.averages() || !pending_.empty();
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

  // Takes the distances of the chosen windows; those of blocks that are computed whole count for
  // nothing else. Returns whether a margin is wider.
  bool join(const CheapPass& pass, const std::vector<std::int64_t>& chosen,
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
    bool wider = false;
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      if (std::isnan(distances[i])) continue;
      const std::int64_t block = pass.block_of(entities[i], chosen[i]);
      if (whole_[static_cast<std::size_t>(block)]) continue;
      wider = margins_.join(entities[i], distances[i]) || wider;
    }
    return wider;
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
  std::vector<std::int64_t> undecided() const {
    using Windows = std::vector<std::int64_t>;
    Windows chosen;
    for (const Windows& part :
         pieces_.map<Windows>(score_, [&](const JudgedRows& rows, std::int64_t g, Windows& found) {
           for_undecided(
               rows, g, thresholds_, margins_, [&](std::size_t i) { return own_distance(rows, i); },
               [&](std::size_t i) {
                 if (!exact_[rows.row(i)]) found.push_back(rows.window(i));
               });
         })) {
      chosen.insert(chosen.end(), part.begin(), part.end());
    }
    return chosen;
  }

  // Seams may miss what a part of the windows is far by: where a sample shows that, the margin is
  // widened, and another sample, which the margin never saw, is verified. False: everything must be
  // computed exactly.
  bool verify_until_covered(const CheapPass& pass) {
    for (int number = 0; number < kMostSamples; ++number) {
      if (!verify(number)) return false;
      if (!cover_sample()) return true;
      refine(pass);
    }
    note(std::to_string(kMostSamples) + " samples in turn lay beyond the margin");
    return false;
  }

  // Has the margins cover all distances of the sample but the largest few. Returns whether one is
  // wider.
  bool cover_sample() {
    std::vector<std::pair<double, std::int64_t>> beyond;  // with the entity
    for (std::size_t i = 0; i < sample_.windows.size(); ++i) {
      const std::int64_t w = sample_.windows[i], entity = plan_.entity_of(w);
      const double own = own_.empty() ? 0 : own_[static_cast<std::size_t>(score_row(plan_, w))];
      const double d = sample_.distances[i];
      if (d > std::max(margins_.margin(entity), 2 * own)) beyond.emplace_back(d, entity);
    }
    if (beyond.size() <= kFewBeyond) return false;
    std::sort(beyond.begin(), beyond.end(), std::greater<>());
    for (std::size_t i = kFewBeyond; i < beyond.size(); ++i) {
      margins_.cover(beyond[i].second, beyond[i].first);
    }
    return true;
  }

  // Computes exactly, in each of `audit` equal stretches of what stayed cheap, the scores of one
  // row. False if one lies above its threshold: none did. number: of the sample.
  bool verify(int number) {
    const CheapDecisions decisions(pieces_, score_, exact_);
    const std::int64_t cheap = decisions.count();
    const std::int64_t stretches = std::min(cheap, options_.audit);
    audit_.cheap = cheap;
    audit_.verified = stretches;
    audit_.wrong_at_most = stretches == cheap ? 0
                                              : kRuleOfThree * static_cast<double>(cheap) /
                                                    static_cast<double>(stretches);
    sample_ = decisions.draw(stretches, number);
    sample_.distances = compute(sample_.windows);
    for (const std::int64_t wrong : pieces_.map<std::int64_t>(
             score_, [&](const JudgedRows& rows, std::int64_t g, std::int64_t& count) {
               if (rows.size() == 0) return;
               auto next = std::lower_bound(sample_.rows.begin(), sample_.rows.end(), rows.row(0));
               for (std::size_t i = 0; i < rows.size() && next != sample_.rows.end(); ++i) {
                 if (rows.row(i) != *next) continue;
                 ++next;
                 count += rows.value(i) > thresholds_.at(g, rows.row(i)) ? 1 : 0;
               }
             })) {
      audit_.wrong += wrong;
    }
    if (audit_.wrong == 0) return true;
    note(std::to_string(audit_.wrong) + " of " + std::to_string(audit_.verified) +
         " verified decisions were wrong");
    return false;
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
    struct Counts {
      std::int64_t windows = 0, exact = 0;
    };
    for (const Counts& part :
         pieces_.map<Counts>(score_, [&](const JudgedRows& rows, std::int64_t g, Counts& counts) {
           counts.windows += static_cast<std::int64_t>(rows.size());
           for (std::size_t i = 0; i < rows.size(); ++i) {
             const std::int64_t row = rows.row(i);
             counts.exact += exact_[row];
             flagged_[row] = rows.value(i) > thresholds_.at(g, row);
           }
         })) {
      audit_.windows += part.windows;
      audit_.exact += part.exact;
    }
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

  const ModelParts& model_;
  const SeriesView& series_;
  const WindowPlan& plan_;
  const Thresholds& thresholds_;
  const FlagOptions& options_;
  ScoreOptions exact_options_;
  JudgedPieces pieces_;
  Margins margins_;
  std::vector<double> own_;            // [S] distances of rows; or empty
  std::vector<std::uint8_t> whole_;    // [blocks] computed exactly whole
  std::vector<std::int64_t> pending_;  // blocks that are to be
  VerifiedSample sample_;              // the last one
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
