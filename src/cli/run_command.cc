#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/utf8.h"
#include "cli/answer_printer.h"
#include "cli/batch.h"
#include "cli/chat.h"
#include "cli/commands.h"
#include "cli/exit_status.h"
#include "cli/interrupt.h"
#include "cli/json_lines.h"
#include "cli/model_options.h"
#include "cli/reply.h"
#include "cli/sampling_options.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "fourstep/engine.h"
#include "runtime/sampling_defaults.h"

namespace fourstep::cli {
namespace {

constexpr size_t kMaxPromptBytes = size_t{64} << 20;

struct RunOptions {
  ModelOptions model;
  SamplingOptions sampling;
  std::optional<std::string> prompt;
  std::string system, show, batch;
  bool is_raw = false, no_thinking = false, as_json = false, with_statistics = false;
  int32_t parallel = 8;
};

void CheckPrompt(const std::string& prompt, const std::string& where) {
  if (prompt.empty()) throw Error(where, "the prompt is empty");
  if (ReplaceInvalidUtf8(prompt) != prompt) throw Error(where, "the prompt is not valid UTF-8");
}

// The prompt of -p, or all of standard input; nothing where people sit there.
std::optional<std::string> ReadPrompt(const RunOptions& options) {
  if (options.prompt) {
    CheckPrompt(*options.prompt, "--prompt");
    return options.prompt;
  }
  if (isatty(STDIN_FILENO) == 1) return std::nullopt;
  std::string text = ReadAll(std::cin, "standard input", kMaxPromptBytes);
  // The end of the line that echo writes is not meant.
  if (!options.is_raw && text.ends_with('\n')) text.pop_back();
  CheckPrompt(text, "standard input");
  return text;
}

// All but what is asked.
Request EmptyRequest(const RunOptions& options) {
  Request request;
  options.sampling.Set(request);
  request.enable_thinking = !options.no_thinking;
  if (!options.system.empty())
    request.messages.push_back({.role = "system", .content = options.system, .reasoning = {}});
  return request;
}

Request MakeRequest(const RunOptions& options, const std::string& text) {
  Request request = EmptyRequest(options);
  if (options.is_raw) {
    request.prompt = text;
  } else {
    request.messages.push_back({.role = "user", .content = text, .reasoning = {}});
  }
  return request;
}

bool IsTalkative(const RunOptions& options) {
  return options.with_statistics || (isatty(STDOUT_FILENO) == 1 && isatty(STDERR_FILENO) == 1);
}

AnswerPrinter::Style StyleFor(const RunOptions& options, int file_descriptor) {
  const Terminal terminal = TerminalOf(file_descriptor);
  const Show by_default = terminal.is_terminal ? Show::kText : Show::kAnswer;
  return {.show = options.show.empty() ? by_default : ParseShow(options.show),
          .has_colours = terminal.has_colours,
          .escapes_controls = terminal.is_terminal};
}

// Runs a request and shows it on standard output as the options say.
Reply AnswerOn(Session& session, const RunOptions& options, const Request& request) {
  AnswerPrinter printer(StyleFor(options, STDOUT_FILENO), WriteOutput);
  const Reply reply = RunRequest(session.engine(), request, session.interrupts(), [&](const Event& event) {
    if (!options.as_json) {
      printer.Print(event);
    } else if (event.token >= 0) {
      WriteLine(TokenJson(event));
    }
    FlushOutput();
  });
  printer.Finish();
  if (options.as_json) WriteLine(SummaryJson(reply, session.engine().info()));
  FlushOutput();
  session.TellAbout(reply);
  return reply;
}

void AnswerOne(const RunOptions& options, const std::string& prompt) {
  Session session(options.model.Resolve(1), options.sampling.sampling, IsTalkative(options));
  const Reply reply = AnswerOn(session, options, MakeRequest(options, prompt));
  if (reply.finish() == FinishReason::kCancelled) throw Interrupted();
  if (reply.finish() == FinishReason::kError) throw std::runtime_error(reply.error());
}

// Shows the answers of a batch on standard error, while standard output gets the lines.
class ShownBatch : public BatchWatcher {
 public:
  ShownBatch(const RunOptions& options, const Session& session)
      : style_(StyleFor(options, STDERR_FILENO)), session_(session) {}

  void Begin(const BatchLine& line) override {
    const std::string text = style_.escapes_controls ? WithoutControls(line.text) : line.text;
    fmt::print(stderr, "> {}\n\n", text);
    printer_.emplace(style_, [](std::string_view piece) {
      fmt::print(stderr, "{}", piece);
      std::fflush(stderr);
    });
  }
  void Take(const Event& event) override { printer_->Print(event); }
  void End(const Reply& reply) override {
    printer_->Finish();
    session_.TellAbout(reply);
  }

 private:
  AnswerPrinter::Style style_;
  const Session& session_;
  std::optional<AnswerPrinter> printer_;
};

void AnswerBatch(const RunOptions& options) {
  const bool is_standard_input = options.batch == "-";
  const std::string where = is_standard_input ? "standard input" : Printable(options.batch);
  std::ifstream file;
  if (!is_standard_input) file = OpenInput(options.batch);
  const std::vector<BatchLine> lines = ReadBatch(is_standard_input ? std::cin : file, where);
  std::vector<Request> requests;
  for (const BatchLine& line : lines) {
    requests.push_back(MakeRequest(options, line.text));
    requests.back().sampling.seed = SeedOfIndex(options.sampling.sampling.seed, requests.size() - 1);
  }
  const bool is_shown = !options.show.empty();
  Session session(options.model.Resolve(is_shown ? 1 : options.parallel), options.sampling.sampling,
                  IsTalkative(options));
  ShownBatch shown(options, session);
  RunBatch(session.engine(), lines, requests, where, session.interrupts(), is_shown ? &shown : nullptr);
}

void Chat(const RunOptions& options) {
  if (options.as_json) throw Error("--json", "is not for conversations; give a prompt with -p");
  if (options.is_raw) throw Error("--raw", "is not for conversations; give a prompt with -p");
  Session session(options.model.Resolve(1), options.sampling.sampling, IsTalkative(options));
  RunChat(EmptyRequest(options), session.interrupts(),
          [&](const Request& request) { return AnswerOn(session, options, request); });
}

void Run(const RunOptions& options) {
  signal(SIGPIPE, SIG_DFL);  // `fourstep run ... | head` ends quietly, also where a parent ignores the signal
  if (ReplaceInvalidUtf8(options.system) != options.system) throw Error("--system", "is not valid UTF-8");
  CheckSampling(options.sampling.sampling);
  if (options.sampling.sampling.top_logprobs > 0 && !options.as_json && options.show != "all")
    throw Error("--top-logprobs", "is shown with --json or --show all only");
  (void)options.model.Resolve(1);  // a prompt in the place of MODEL is told before standard input is read
  if (!options.batch.empty()) return AnswerBatch(options);
  const std::optional<std::string> prompt = ReadPrompt(options);
  return prompt ? AnswerOne(options, *prompt) : Chat(options);
}

constexpr char kFooter[] =
    R"(The prompt comes from -p, or else from standard input; at a terminal it is a conversation.
At a terminal the thinking is shown too. In a pipe only the answer is written, unless --show asks for more.
--json writes a JSON object a line: one of "type" "token" for each token (text, is_reasoning, step, entropies in nats,
threshold, temperature, logprob, top_logprobs where asked for), then one of "type" "summary" (content, reasoning,
response, finish, speed).
--batch reads JSON lines with a "prompt" or a "problem" (as `fourstep tasks generate` writes them) and writes them in
order with "response", "finish" and "response_tokens" added, as `fourstep tasks grade` reads them. The seed of each
line comes from --seed and its number, so that two runs of different models or policies are paired. With --show the
answers are shown too, on standard error, one at a time.
Exit status: 0, 1 a failure at run time, 2 wrong input, 130 Ctrl-C.)";

void AddInputOptions(CLI::App& command, RunOptions& options) {
  CLI::Option* prompt =
      command.add_option("-p,--prompt", options.prompt, "What to answer")->option_text("TEXT");
  CLI::Option* system =
      command.add_option("--system", options.system, "What the model is told first")->option_text("TEXT");
  CLI::Option* no_thinking =
      command.add_flag("--no-thinking", options.no_thinking, "Ask for an answer without reasoning");
  command.add_flag("--raw", options.is_raw, "Continue the prompt as it is, without a chat template")
      ->excludes(system)
      ->excludes(no_thinking)
      ->excludes(command.get_option("--chat-template"))
      ->option_text(" ");
  CLI::Option* show =
      command
          .add_option("--show", options.show,
                      "answer; text (with the thinking); steps (tokens coloured by their temperature, a line "
                      "after each step); all (a line a token)")
          ->check(CLI::IsMember({"answer", "text", "steps", "all"}));
  CLI::Option* json = command.add_flag("--json", options.as_json, "Write JSON lines")->excludes(show);
  command.add_flag("--stats", options.with_statistics, "Say what runs and how fast, on standard error");
  CLI::Option* batch = command
                           .add_option("--batch", options.batch,
                                       "Answer every line of a file of JSON lines; -: of standard input")
                           ->excludes(prompt)
                           ->excludes(json);
  command
      .add_option("--parallel", options.parallel,
                  "Lines of a batch that are answered at a time, 1 to 8; default: 8")
      ->check(CLI::Range(1, 8))
      ->needs(batch)
      ->excludes(show)
      ->option_text("N");
  batch->option_text("FILE");
  show->option_text("WHAT");
  for (CLI::Option* flag : {no_thinking, json}) flag->option_text(" ");
}

}  // namespace

void AddRunCommand(CLI::App& app) {
  CLI::App* run = app.add_subcommand("run", "Answer a prompt, or chat");
  auto options = std::make_shared<RunOptions>();
  AddModelOptions(*run, options->model);
  AddInputOptions(*run, *options);
  AddSamplingOptions(*run, options->sampling);
  run->footer(kFooter);
  run->callback([options] { Run(*options); });
}

}  // namespace fourstep::cli
