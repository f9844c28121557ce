#include "cli/batch.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <map>
#include <memory>
#include <stdexcept>

#include "base/error.h"
#include "base/progress.h"
#include "cli/exit_status.h"
#include "cli/json_lines.h"
#include "cli/terminal.h"

namespace fourstep::cli {
namespace {

BatchLine ParseBatchLine(const std::string& text, const std::string& where) {
  BatchLine line{.line = ParseJson(text, where), .text = {}};
  const JsonReader reader(line.line, where);
  if (reader.Has("prompt") && reader.Has("problem")) {
    throw Error(where, "has both \"prompt\" and \"problem\", expected one of them");
  }
  if (reader.Has("response")) throw Error(where, "has a \"response\" already");
  line.text = reader.String(reader.Has("problem") ? "problem" : "prompt");
  if (line.text.empty()) throw Error(where, "the prompt is empty");
  return line;
}

std::string LineName(const std::string& where, size_t index) {
  return fmt::format("{}: line {}", where, index + 1);
}

// What comes of the engine, by line; finished lines are written as soon as those before them are.
class BatchOutput {
 public:
  BatchOutput(const std::vector<BatchLine>& lines, const std::vector<RequestId>& ids, BatchWatcher* watcher)
      : lines_(lines), replies_(lines.size()), watcher_(watcher) {
    for (size_t i = 0; i < ids.size(); ++i) index_[ids[i]] = i;
    replies_[0].Start();
    // A bar between lines of answers would be a mess.
    if (watcher == nullptr && !TerminalOf(STDOUT_FILENO).is_terminal)
      progress_.emplace("answers", lines.size());
  }

  void Add(const Event& event) {
    const size_t index = index_.at(event.request);
    Reply& reply = replies_[index];
    if (watcher_ != nullptr && reply.num_tokens() == 0) watcher_->Begin(lines_[index]);
    reply.Add(event);
    if (watcher_ != nullptr) watcher_->Take(event);
    num_tokens_ += event.token >= 0 ? 1 : 0;
    if (event.finish == FinishReason::kNone) return;
    if (watcher_ != nullptr) {
      watcher_->End(reply);
      if (index + 1 < replies_.size()) replies_[index + 1].Start();  // its prompt is next
    }
    ++num_finished_;
    num_failed_ += event.finish == FinishReason::kError ? 1 : 0;
    while (num_written_ < replies_.size() && replies_[num_written_].finish() != FinishReason::kNone) {
      WriteAnswer(num_written_++);
    }
    FlushOutput();
  }

  void ShowProgress() {
    const double elapsed_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    if (progress_ && elapsed_s > 0) {
      progress_->Update(num_finished_, fmt::format("{:.0f} tokens/s", num_tokens_ / elapsed_s));
    }
  }

  size_t num_failed() const { return num_failed_; }

 private:
  void WriteAnswer(size_t index) {
    Json line = lines_[index].line;
    const Reply& reply = replies_[index];
    line["response"] = reply.response();
    line["finish"] = FinishName(reply.finish());
    line["response_tokens"] = reply.num_tokens();
    if (reply.finish() == FinishReason::kError) line["error"] = reply.error();
    WriteLine(line);
  }

  const std::vector<BatchLine>& lines_;
  std::vector<Reply> replies_;
  BatchWatcher* watcher_;
  std::map<RequestId, size_t> index_;
  std::optional<Progress> progress_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  size_t num_written_ = 0, num_finished_ = 0, num_failed_ = 0;
  double num_tokens_ = 0;
};

}  // namespace

std::vector<BatchLine> ReadBatch(std::istream& input, const std::string& where) {
  std::vector<BatchLine> lines;
  std::string line;
  while (ReadLine(input, line, LineName(where, lines.size()))) {
    lines.push_back(ParseBatchLine(line, LineName(where, lines.size())));
  }
  if (lines.empty())
    throw Error(where, "has no line, expected JSON lines with a \"prompt\" or a \"problem\"");
  return lines;
}

void RunBatch(Engine& engine, const std::vector<BatchLine>& lines, const std::vector<Request>& requests,
              const std::string& where, const InterruptWatch& interrupts, BatchWatcher* watcher) {
  std::vector<RequestId> ids;
  for (size_t i = 0; i < requests.size(); ++i) {
    try {
      ids.push_back(engine.Submit(requests[i]));
    } catch (const Error& error) {
      throw Error(LineName(where, i), error.what());
    }
  }
  BatchOutput output(lines, ids, watcher);
  while (!engine.idle()) {
    if (interrupts.interrupted()) throw Interrupted();
    for (const Event& event : engine.Step()) output.Add(event);
    output.ShowProgress();
  }
  if (output.num_failed() > 0) {
    throw std::runtime_error(fmt::format("{} of {} answers failed", output.num_failed(), lines.size()));
  }
}

}  // namespace fourstep::cli
