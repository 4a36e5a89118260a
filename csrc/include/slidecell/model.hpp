// A trained forecaster or autoencoder that scores every window of a series.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "slidecell/export.h"
#include "slidecell/layer.hpp"
#include "slidecell/precision.hpp"
#include "slidecell/series.hpp"
#include "slidecell/span.hpp"
#include "slidecell/windows.hpp"

namespace slidecell {

// The products that `score` uses. automatic: chosen by a fixed rule, see plan(); fma: float32
// multiply-adds; matrix: the CPU's bf16 products (AMX tiles, or AVX512-BF16's dot products), in as
// many parts as the precision asks for.
enum class Kernel : std::uint8_t { automatic, fma, matrix };
// nll: the Gaussian negative log likelihood (log v + error^2 / v) / 2 with v the variance that the
// model predicts, no smaller than 1e-6; of models with log variances.
// calibrated: the mean of max((|error| - m) / s, 0) with each target's usual error m and its spread
// s, for forecasters with a scaler. It and mahalanobis need error statistics in the model file.
enum class Reduction : std::uint8_t { mse, mae, mahalanobis, nll, calibrated };
enum class Aggregate : std::uint8_t { window, last, mean };
// exact: every window starts from a zero state. carried: one chain of steps serves a block of
// windows, the least prime >= 4 W first target rows of an entity, from W rows before the block on:
// about 1.25 steps a row instead of W, and scores that differ as far as the network remembers what
// lies before a window. For forecasters without bidirectional layers.
enum class Windows : std::uint8_t { exact, carried };

struct ScoreOptions {
  Precision precision = Precision::highest;
  Reduction reduction = Reduction::mse;
  Aggregate aggregate = Aggregate::window;  // autoencoders only
  bool per_feature = false;                 // [S, targets] instead of [S]
  std::int64_t stride = 1;
  int num_threads = 0;  // 0: default_num_threads()
  Kernel kernel = Kernel::automatic;
  Windows windows = Windows::exact;
};

// The kernel that `score` runs on this machine.
struct KernelPlan {
  std::string isa;
  std::string kernel;
  std::string precision;  // the one that is computed, which may be better than the one asked for
  std::int64_t tile = 0;  // windows per tile
  int threads = 0;
};

// What `flag` scores all windows with first. automatic: by a fixed rule over counts; none: the
// exact kernel at once; medium: bf16 products; low: 8-bit products; carried: states that are
// carried through blocks of windows; carried_low: such states by 8-bit products.
enum class Speculate : std::uint8_t { automatic, none, medium, low, carried, carried_low };

struct FlagOptions {
  Reduction reduction = Reduction::mse;
  // The threshold is compared with the mean of the last finite scores, this many of them, or of the
  // finite scores among the last rows, this many; 0: with the score itself. At most one of the two.
  std::int64_t moving_average = 0;
  std::int64_t trailing_mean = 0;
  std::int64_t stride = 1;
  std::int64_t audit = 1024;  // decisions that are verified
  Speculate speculate = Speculate::automatic;
  bool certify = false;  // a second, younger chain measures every row of carried states
  int num_threads = 0;   // 0: default_num_threads()
};

// How `flag` came to its flags.
struct FlagAudit {
  std::string method;  // "carried", "carried_low", "low", "medium"; "exact": every score is
  std::vector<std::string> reasons;  // why another method than the one asked for; others of note
  std::int64_t windows = 0;          // that have a score
  std::int64_t exact = 0;            // of them, whose score is the exact one
  std::int64_t seams = 0;            // measured distances between a cheap and an exact score
  double seam_p99 = 0;               // 99 % of them are no larger; NaN without seams
  std::int64_t whole_blocks = 0;     // computed exactly because their distance was too large
  bool certified = false;            // a younger chain measured every row
  bool absolute = false;             // distances are differences, else those of logarithms
  std::vector<double> margin;        // [G] twice the largest distance; NaN where all is exact
  std::int64_t cheap = 0;            // decisions that rest on cheap scores
  std::int64_t verified = 0;         // of them, a sample computed exactly
  std::int64_t wrong = 0;            // of these, on the wrong side: then all is computed exactly
  double wrong_at_most = 0;          // missed alarms, at 95 % confidence
};

// What a model file says of its scores: which they are, how they are smoothed and judged.
struct Decision {
  double threshold;                    // NaN: none
  double ewma_alpha;                   // 0: no exponentially weighted average
  std::int64_t moving_average;         // scores that are averaged; 0: none
  std::int64_t trailing_mean;          // rows whose scores are averaged; 0: none
  std::optional<Reduction> reduction;  // of the scores that are smoothed and judged; none: not said
};

// A float32 tensor by name, row-major.
struct Tensor {
  std::vector<std::int64_t> shape;
  std::vector<float> data;
};
using TensorMap = std::map<std::string, Tensor>;

// The content of a model file: the JSON text of its metadata and its tensors.
struct ModelFile {
  std::string metadata;
  TensorMap tensors;
};
// Throws IoError if the file cannot be read, std::invalid_argument if it is damaged.
SLIDECELL_API ModelFile read_model_file(const std::string& path);
// Writes the file: whole, or not at all. A symbolic link there is replaced by the file. Throws
// IoError, std::invalid_argument on a tensor whose shape does not fit its data.
SLIDECELL_API void write_model_file(const std::string& path, const ModelFile& file);
// The bytes before the tensors' numbers, which follow in the order of the names: a file of the
// library `safetensors` byte for byte. Throws std::invalid_argument on a size below 0.
SLIDECELL_API std::string model_file_header(
    const std::string& metadata, const std::map<std::string, std::vector<std::int64_t>>& shapes);

class SLIDECELL_API SequenceModel {
 public:
  // metadata: the JSON text kept in the file under "slidecell". Throws std::invalid_argument.
  SequenceModel(const std::string& metadata, const TensorMap& tensors);
  static SequenceModel load(const std::string& path);
  ~SequenceModel();
  SequenceModel(SequenceModel&&) noexcept;
  SequenceModel& operator=(SequenceModel&&) noexcept;

  std::int64_t input_size() const;
  std::int64_t window() const;
  std::int64_t horizon() const;      // 0: autoencoder
  std::int64_t num_targets() const;  // features that the head predicts per row
  std::int64_t code_size() const;    // length of `encode`'s rows
  // [input_size] names in the order of the columns; empty: the file has none.
  const std::vector<std::string>& features() const;
  // Whose scores the file's smoothing and threshold are for; none: the file does not say.
  std::optional<Reduction> reduction() const;

  // out: float32 [S] or, with per_feature, [S, num_targets]; offsets [G+1], empty: one entity.
  // Throws UnsupportedError for Kernel::matrix where this CPU or model has none, and for
  // Windows::carried where the model has none or the stride is above 0.48 W.
  void score(const SeriesView& series, Span<const std::int64_t> offsets, float* out,
             const ScoreOptions& options = {}) const;
  // Whether each row's score, or its moving average, lies above its threshold.
  // thresholds: one, [G], or [S]; flagged, exact: 0 or 1, [S]; score: [S], float32.
  // Every flag that is raised rests on scores that are those of `score`, bit for bit (exact is 1).
  // Rows that are not flagged may rest on cheap scores (exact is 0); a sample of them is verified,
  // from which FlagAudit::wrong_at_most bounds the flags that are missing. exact is 0 where there
  // is no score (NaN).
  // Throws UnsupportedError for Speculate::carried with a model or stride that has no carried
  // scores, and for what this build does not have.
  FlagAudit flag(const SeriesView& series, Span<const double> thresholds,
                 Span<const std::int64_t> offsets, std::uint8_t* flagged, float* score,
                 std::uint8_t* exact, const FlagOptions& options = {}) const;
  // out: [windows, horizon or window, num_targets], in raw units, for the windows of `plan`. In
  // float32 products, like encode.
  void predict(const SeriesView& series, const WindowPlan& plan, float* out,
               int num_threads = 0) const;
  // out: [windows, horizon, num_targets], the natural logarithms of the predictions' variances in
  // raw units. Throws std::invalid_argument if the model predicts none.
  void predict_log_variance(const SeriesView& series, const WindowPlan& plan, float* out,
                            int num_threads = 0) const;
  // out: [windows, code_size].
  void encode(const SeriesView& series, const WindowPlan& plan, float* out,
              int num_threads = 0) const;

  // The threshold and smoothing in the file. Throws std::invalid_argument if they are damaged,
  // UnsupportedError if the threshold is not a fixed number.
  Decision decision() const;

  KernelPlan plan(Precision precision = Precision::highest, int num_threads = 0,
                  Kernel kernel = Kernel::automatic) const;

 private:
  friend class Stream;
  struct Impl;
  std::shared_ptr<const Impl> impl_;  // shared with the model's streams
};

}  // namespace slidecell
