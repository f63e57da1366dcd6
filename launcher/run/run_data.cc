#include "launcher/run/run_data.h"

#include <chrono>
#include <filesystem>
#include <thread>

#include "datasets/prepare.h"
#include "datasets/stories.h"
#include "datasets/token_file.h"
#include "datasets/vocabulary_trainer.h"
#include "kernels/base/output_file.h"
#include "kernels/base/regular_file.h"
#include "kernels/base/user_error.h"
#include "launcher/run/fingerprint.h"
#include "launcher/run/text_report.h"
#include "launcher/run/verified_data.h"

namespace treeformer {

namespace fs = std::filesystem;
using config::DatasetConfig;

namespace {

// A barrier in which a rank that waits sleeps, so that the others have the cores.
void WaitQuietly(dist::Communicator& communicator) {
  dist::Request request = communicator.StartBarrier();
  while (!request.Test()) std::this_thread::sleep_for(std::chrono::milliseconds(20));
}

bool MakesFiles(const DatasetConfig& config) { return !config.has_token_file(); }

std::string ReadText(const std::string& path) {
  return fs::is_regular_file(path) ? ReadRegularFile(path) : std::string();
}

void WriteText(const std::string& path, const std::string& text) {
  OutputFile file(path);
  file.Append(text.data(), static_cast<int64_t>(text.size()));
  file.Commit();
}

// Vocabulary and token files; what RUN/data/verified.txt knows is not read again.
bool AreWhole(const DataFiles& files, const std::string& run_directory) {
  try {
    const auto vocabulary = datasets::Vocabulary::Load(files.vocabulary);
    const auto known = datasets::LoadTokenFileRecords(VerifiedDataFile(run_directory));
    datasets::TokenFile::Open(files.training, vocabulary, known);
    datasets::TokenFile::Open(files.held_out, vocabulary, known);
    return true;
  } catch (const UserError&) {
    return false;
  }
}

datasets::TextSourceOptions TextOf(const DatasetConfig& config, const std::string& directory,
                                   Progress& progress) {
  datasets::TextSourceOptions text = datasets::MakeTextSourceOptions(config);
  if (config.text_size() > 0) return text;
  const datasets::StoriesConfig stories = datasets::MakeStoriesConfig(config);
  const std::string path = directory + "/stories.txt";
  progress.Line(Sentence("data: writing ", stories.count, " stories"));
  datasets::WriteStories(stories, path);
  text.inputs = {path};
  text.document = datasets::DocumentUnit::kLine;
  return text;
}

void MakeVocabulary(const DatasetConfig& config, const datasets::TextSourceOptions& text,
                    const std::string& path, Progress& progress) {
  datasets::VocabularyTrainerOptions options;
  options.text = text;
  options.lower_case = config.lower_case();
  options.size = config.vocabulary_size();
  datasets::VocabularyTrainerStatistics statistics;
  const datasets::Vocabulary vocabulary =
      TrainVocabulary(options, &statistics, ShowBytes(progress, "vocabulary: "));
  vocabulary.Save(path);
  progress.Line(Sentence("data: a vocabulary of ", vocabulary.size(), " tokens from ",
                         FormatCount(static_cast<double>(statistics.words)), " words, ",
                         FormatDuration(statistics.seconds)));
}

void MakeFiles(const DatasetConfig& config, const std::string& directory, const DataFiles& files,
               Progress& progress) {
  datasets::PrepareOptions options;
  options.text = TextOf(config, directory, progress);
  if (config.has_vocabulary()) {
    datasets::Vocabulary::Load(config.vocabulary()).Save(files.vocabulary);
  } else {
    MakeVocabulary(config, options.text, files.vocabulary, progress);
  }
  options.lower_case = config.lower_case();
  options.output = files.training;
  options.held_out_output = files.held_out;
  options.held_out_fraction = config.held_out_fraction();
  options.held_out_min_tokens = config.sequence_length();
  const datasets::PrepareStatistics made = datasets::Prepare(
      datasets::Vocabulary::Load(files.vocabulary), options, ShowBytes(progress, "tokens: "));
  progress.Line(Sentence("data: ", made.documents, " documents, ",
                         FormatCount(static_cast<double>(made.tokens)), " tokens (",
                         FormatCount(static_cast<double>(made.held_out_tokens)), " held out), ",
                         FormatDuration(made.seconds)));
  PrintTextReport(made.text, progress);
}

}  // namespace

DataFiles RunDataFiles(const DatasetConfig& config, const std::string& run_directory) {
  const std::string directory = run_directory + "/data/";
  DataFiles files{directory + "vocab.txt", directory + "training.tokens",
                  directory + "held_out.tokens"};
  if (!MakesFiles(config)) {
    files.vocabulary = config.vocabulary();
    files.training = config.token_file();
    files.held_out = config.held_out_token_file();
  }
  return files;
}

uint64_t HashData(const DataFiles& files) {
  return HashText(Sentence(datasets::Vocabulary::Load(files.vocabulary).hash(), " ",
                           HashTokenFile(files.training), " ", HashTokenFile(files.held_out)));
}

namespace {

// On rank 0, of a run that begins.
void MakeNewFiles(const DatasetConfig& config, const RunText& text,
                  const std::string& run_directory, const DataFiles& files, Progress& progress) {
  const std::string record = run_directory + "/data/source.txt";
  const std::string source = DescribeSource(config, text);
  if (IsSource(ReadText(record), config, text) && AreWhole(files, run_directory)) return;
  std::error_code none;
  fs::remove(record, none);
  MakeFiles(config, run_directory + "/data", files, progress);
  WriteText(record, source);
}

// Whether the files would be made of the same; if not, `why`.
bool SourceIsUnchanged(const DatasetConfig& config, const RunText& text, const std::string& record,
                       std::string* why) {
  const std::string before = ReadText(record);
  *why = before.empty() ? record + ", which says what the tokens were made of, is lost"
         : config.has_vocabulary() && !fs::exists(config.vocabulary())
             ? "data.vocabulary, " + config.vocabulary() + ", is gone"
             : "the text or the vocabulary has changed since the run began";
  try {
    return IsSource(before, config, text);
  } catch (const UserError& error) {
    *why = Sentence("the text is not there as it was (", error.what(), ")");
    return false;
  }
}

// On rank 0, of a run that goes on.  `known`: the hash in its checkpoint; older versions kept none,
// and then only unchanged text gives the same files.
void FindOldFiles(const DatasetConfig& config, const RunText& text,
                  const std::string& run_directory, const std::optional<uint64_t>& known,
                  const DataFiles& files, Progress& progress) {
  const std::string directory = run_directory + "/data", record = directory + "/source.txt";
  const auto are_known = [&] {
    return AreWhole(files, run_directory) && (!known || HashData(files) == *known);
  };
  std::string why;
  const bool unchanged = SourceIsUnchanged(config, text, record, &why);
  if (are_known()) {
    if (!unchanged) {
      progress.Line(
          Sentence("data: ", why, "; the run goes on with the tokens that it made at its start"));
    }
    return;
  }
  progress.Line(Sentence("data: the files in ", directory,
                         " are damaged or gone, and are made again from the text"));
  const bool may_be_known = known || unchanged;
  if (may_be_known) {
    try {
      MakeFiles(config, directory, files, progress);
    } catch (const UserError& error) {
      throw UserError(Sentence("the files in ", directory,
                               " are damaged or gone, and cannot be made again: ", error.what()));
    }
  }
  if (!may_be_known || !are_known()) {
    throw UserError(Sentence("the files in ", directory, " are lost, and cannot be made again: ",
                             unchanged ? "of the same text came others" : why,
                             "; expected the text and vocabulary as they were, or another "
                             "--run_dir to begin anew"));
  }
  WriteText(record, DescribeSource(config, text));
}

}  // namespace

DataFiles PrepareRunData(dist::Communicator& communicator, const DatasetConfig& config,
                         const RunText& text, const std::string& run_directory,
                         const nlohmann::json& state, Progress& progress) {
  if (config.has_token_file() && !config.has_held_out_token_file()) {
    throw UserError(
        "data.held_out_token_file is missing beside data.token_file; expected a token "
        "file for evaluation, `treeformer prepare --held_out` makes one");
  }
  DataFiles files = RunDataFiles(config, run_directory);
  if (communicator.rank() == 0) {
    std::optional<uint64_t> known;
    if (state.contains("data_hash") && state["data_hash"].is_number_unsigned()) {
      known = state["data_hash"].get<uint64_t>();
    }
    if (!MakesFiles(config)) {
      if (known && HashData(files) != *known) {
        throw UserError(Sentence("data.token_file ", files.training, ", data.held_out_token_file ",
                                 files.held_out, " or data.vocabulary ", files.vocabulary,
                                 " is not the one that this run began with"));
      }
    } else if (state.empty()) {
      MakeNewFiles(config, text, run_directory, files, progress);
    } else {
      FindOldFiles(config, text, run_directory, known, files, progress);
    }
  }
  WaitQuietly(communicator);
  return files;
}

void PrepareEvaluationText(dist::Communicator& communicator, const DatasetConfig& config,
                           const std::string& text, const std::string& vocabulary,
                           const std::string& output, Progress& progress) {
  if (communicator.local_rank() == 0) {
    DatasetConfig evaluated = config;
    SetText(text, evaluated);
    datasets::PrepareOptions options;
    options.text = datasets::MakeTextSourceOptions(evaluated);
    options.lower_case = config.lower_case();
    options.output = output;
    const datasets::PrepareStatistics made = datasets::Prepare(
        datasets::Vocabulary::Load(vocabulary), options, ShowBytes(progress, "tokens: "));
    PrintTextReport(made.text, progress);
  }
  WaitQuietly(communicator);
}

namespace {

// The parts of `list` from `first` on that are one input; more than one where a name has commas.
size_t CountParts(const std::vector<std::string>& list, size_t first) {
  std::string name = list[first];
  size_t found = 1;
  for (size_t i = first + 1; i < list.size(); ++i) {
    name += "," + list[i];
    std::error_code error;
    if (fs::exists(name, error)) found = i + 1 - first;
  }
  return found;
}

}  // namespace

void SetText(const std::string& text, DatasetConfig& config) {
  config.clear_stories();
  config.clear_token_file();
  config.clear_held_out_token_file();
  config.clear_text();
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::vector<std::string> parts;
    std::istringstream list(line);
    for (std::string part; std::getline(list, part, ',');) parts.push_back(part);
    for (size_t i = 0; i < parts.size();) {
      const size_t end = i + CountParts(parts, i);
      std::string input = parts[i];
      for (++i; i < end; ++i) input += "," + parts[i];
      config.add_text(input);
    }
  }
}

}  // namespace treeformer
