// Scores a CSV file: slidecell_score_csv MODEL INPUT.csv [--entity] [--threads N] > scores.csv
//
// A column per feature, in the model's order; the first line may be names. With --entity the first
// column is an entity's name, whose rows stand together. An empty field is a missing value.
// Prints a line per row of data: its line number in the file, and its score (empty: no score).
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "input.hpp"
#include "slidecell/slidecell.hpp"

namespace {

using example::InputError;

struct Table {
  std::vector<double> rows;           // [S, F]
  std::vector<std::int64_t> offsets;  // [G+1]
  std::vector<std::int64_t> lines;    // [S] line of each row in the file
};

// A first line without any number is the names of the columns.
bool is_header(const std::vector<std::string_view>& texts, std::size_t first) {
  double number = 0.0;
  for (std::size_t i = first; i < texts.size(); ++i) {
    if (texts[i].empty() || example::parse_number(texts[i], number)) return false;
  }
  return true;
}

Table read_csv(const std::string& path, std::size_t features, bool with_entity) {
  std::ifstream file(path);
  if (!file) throw InputError(path + ": cannot be opened");
  Table table;
  std::string line, entity;
  std::unordered_set<std::string> known;
  const std::size_t first = with_entity ? 1 : 0;
  for (std::int64_t number = 1; std::getline(file, line); ++number) {
    const auto texts = example::fields(line);
    if (example::trimmed(line).empty() || (number == 1 && is_header(texts, first))) continue;
    try {
      table.rows.resize(table.rows.size() + features);
      example::parse_row(texts, first, features, &*table.rows.end() - features);
      if (table.lines.empty() || (with_entity && texts[0] != entity)) {
        entity = with_entity ? std::string(texts[0]) : "";
        if (!known.insert(entity).second) {
          throw InputError("entity '" + entity + "' again: expected its rows together");
        }
        table.offsets.push_back(static_cast<std::int64_t>(table.lines.size()));
      }
    } catch (const InputError& e) {
      throw InputError(path + ":" + std::to_string(number) + ": " + e.what());
    }
    table.lines.push_back(number);
  }
  if (file.bad()) throw InputError(path + ": cannot be read");
  if (table.lines.empty()) throw InputError(path + ": expected rows, got none");
  table.offsets.push_back(static_cast<std::int64_t>(table.lines.size()));
  return table;
}

void run(example::Arguments arguments) {
  const std::string model_path = arguments.positional("MODEL");
  const std::string csv_path = arguments.positional("INPUT.csv");
  bool with_entity = false;
  slidecell::ScoreOptions options;
  while (!arguments.done()) {
    if (arguments.flag("--entity")) {
      with_entity = true;
    } else if (arguments.flag("--threads")) {
      options.num_threads = static_cast<int>(arguments.number("--threads", 0, 4096));
    } else {
      arguments.refuse();
    }
  }

  const auto model = slidecell::SequenceModel::load(model_path);
  const auto features = static_cast<std::size_t>(model.input_size());
  const Table table = read_csv(csv_path, features, with_entity);

  slidecell::SeriesView series;
  series.data = table.rows.data();
  series.dtype = slidecell::DType::f64;
  series.rows = static_cast<std::int64_t>(table.lines.size());
  series.cols = model.input_size();
  series.row_stride = static_cast<std::ptrdiff_t>(features * sizeof(double));
  series.col_stride = sizeof(double);
  std::vector<float> scores(table.lines.size());
  model.score(series, table.offsets, scores.data(), options);

  std::printf("line,score\n");
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (std::isnan(scores[i])) {
      std::printf("%lld,\n", static_cast<long long>(table.lines[i]));
    } else {
      std::printf("%lld,%.9g\n", static_cast<long long>(table.lines[i]),
                  static_cast<double>(scores[i]));
    }
  }
  if (std::fflush(stdout) != 0 || std::ferror(stdout)) throw InputError("stdout: cannot write");
}

}  // namespace

int main(int argc, char** argv) {
  return example::run_main(argc, argv, "MODEL INPUT.csv [--entity] [--threads N]", run);
}
