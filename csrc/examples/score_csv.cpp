// Scores a CSV file:
//   slidecell_score_csv MODEL INPUT.csv [--entity [COLUMN]] [--threads N] > scores.csv
//
// A first line without any number is the names of the columns. Where the model knows its features'
// names, it finds them there and skips the others (times, labels): the file that `slidecell detect`
// was trained on can be read as it is. Else the columns are the features in the model's order.
// --entity: the column of that name, or the first one, says whose row it is; an entity's rows stand
// together and in the order of time. An empty field is a missing value. So is each value of a blank
// line between rows, so that no window reaches across it; with entities nobody knows whose row it
// would be: it is reported and left out.
// Prints a line per row of data: its line number in the file, and its score (empty: no score): the
// one that the model file's threshold is for, before it is smoothed.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <limits>
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

// Where the entity stands: nowhere, in the first column, or in a named one.
struct Entity {
  bool given = false;
  std::string column;
};

// Blank lines between rows as rows without a value; of an unknown entity they are reported.
void add_blank(std::vector<std::int64_t>& blank, const std::string& path, bool with_entity,
               std::size_t features, Table& table) {
  for (const std::int64_t number : blank) {
    if (with_entity) {
      std::fprintf(stderr, "%s:%lld: blank, left out\n", path.c_str(),
                   static_cast<long long>(number));
      continue;
    }
    table.rows.resize(table.rows.size() + features, std::numeric_limits<double>::quiet_NaN());
    table.lines.push_back(number);
  }
  blank.clear();
}

Table read_csv(const std::string& path, const slidecell::SequenceModel& model,
               const Entity& entity_option) {
  std::ifstream file(path);
  if (!file) throw InputError(path + ": cannot be opened");
  Table table;
  std::string line, entity;
  std::unordered_set<std::string> known;
  const bool with_entity = entity_option.given;
  const auto features = static_cast<std::size_t>(model.input_size());
  auto columns = example::columns_in_order(with_entity ? 1 : 0, features);
  std::size_t entity_at = 0;
  std::vector<std::int64_t> blank;  // lines since the last row
  for (std::int64_t number = 1; std::getline(file, line); ++number) {
    const std::string_view text = number == 1 ? example::without_mark(line) : line;
    if (example::trimmed(text).empty()) {
      if (!table.lines.empty()) blank.push_back(number);
      continue;
    }
    const auto texts = example::fields(text);
    try {
      if (number == 1 && example::is_header(texts)) {
        if (!model.features().empty()) columns = example::columns_by_name(texts, model.features());
        if (!entity_option.column.empty()) {
          entity_at = example::find_column(texts, entity_option.column);
        }
        continue;
      }
      if (number == 1 && !entity_option.column.empty()) {
        throw InputError("--entity: expected the names of the columns in the first line");
      }
      add_blank(blank, path, with_entity, features, table);
      table.rows.resize(table.rows.size() + features);
      example::parse_row(texts, columns, &*table.rows.end() - features);
      if (table.lines.empty() || (with_entity && texts[entity_at] != entity)) {
        entity = with_entity ? std::string(texts[entity_at]) : "";
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
  Entity entity;
  slidecell::ScoreOptions options;
  while (!arguments.done()) {
    if (arguments.flag("--entity")) {
      entity = {true, arguments.optional_text()};
    } else if (arguments.flag("--threads")) {
      options.num_threads = static_cast<int>(arguments.number("--threads", 0, 4096));
    } else {
      arguments.refuse();
    }
  }

  const auto model = slidecell::SequenceModel::load(model_path);
  const Table table = read_csv(csv_path, model, entity);
  options.reduction = model.reduction().value_or(options.reduction);

  const slidecell::SeriesView series(
      table.rows.data(), static_cast<std::int64_t>(table.lines.size()), model.input_size());
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
  return example::run_main(argc, argv, "MODEL INPUT.csv [--entity [COLUMN]] [--threads N]", run);
}
