#include "eval/endpoint_answers.h"

#include <curl/curl.h>

#include <chrono>
#include <deque>
#include <map>
#include <stdexcept>
#include <utility>

#include "base/error.h"
#include "eval/chat_completion.h"

namespace fourstep {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kMaxTries = 6;
constexpr size_t kMaxResponseBytes = size_t{64} << 20;
constexpr long kConnectSeconds = 10, kAnswerSeconds = 3600;  // curl takes long

// One request, from its first try to its last.
struct Exchange {
  int64_t ticket = 0;
  std::string name;  // of the question
  std::string body, response;
  int tries = 0;
  Clock::time_point next_try;  // while it waits to be sent again
};

// As curl calls it; a response beyond the limit ends the transfer.
size_t TakeBytes(char* data, size_t size, size_t count, void* exchange) {
  std::string& response = static_cast<Exchange*>(exchange)->response;
  if (response.size() + size * count > kMaxResponseBytes) return 0;
  response.append(data, size * count);
  return size * count;
}

bool MayPass(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_PARTIAL_FILE:
      return true;
    default:
      return false;
  }
}

struct CurlGlobal {
  CurlGlobal() { curl_global_init(CURL_GLOBAL_DEFAULT); }
};

class EndpointAnswers : public AnswerSource {
 public:
  explicit EndpointAnswers(const EndpointOptions& options) : options_(options) {
    static const CurlGlobal kGlobal;
    constexpr std::string_view kPath = "/chat/completions";
    url_ = options.url;
    if (!url_.starts_with("http://") && !url_.starts_with("https://")) {
      throw Errorf("--endpoint", "\"{}\" does not begin with http:// or https://", Printable(url_));
    }
    while (url_.ends_with('/')) url_.pop_back();
    if (!url_.ends_with(kPath)) url_ += kPath;
    multi_ = curl_multi_init();
    if (multi_ == nullptr) throw std::runtime_error("libcurl cannot be started");
    headers_ = curl_slist_append(headers_, "Content-Type: application/json");
    headers_ = curl_slist_append(headers_, "Expect:");  // some servers do not answer "100-continue"
    if (!options.api_key.empty()) {
      headers_ = curl_slist_append(headers_, ("Authorization: Bearer " + options.api_key).c_str());
    }
  }

  ~EndpointAnswers() override {
    for (auto& [easy, exchange] : running_) {
      curl_multi_remove_handle(multi_, easy);
      curl_easy_cleanup(easy);
    }
    curl_multi_cleanup(multi_);
    curl_slist_free_all(headers_);
  }

  int32_t parallel() const override { return options_.parallel; }

  int64_t Submit(const Question& question) override {
    auto exchange = std::make_unique<Exchange>();
    exchange->ticket = ++last_ticket_;
    exchange->name = question.name;
    exchange->body = DumpJson(ChatCompletionRequest(options_.model, question));
    Send(std::move(exchange));
    return last_ticket_;
  }

  std::vector<SourcedAnswer> Wait() override {
    constexpr int kPollMs = 100;
    SendAgain();
    int num_running = 0;
    Check(curl_multi_perform(multi_, &num_running));
    Check(curl_multi_poll(multi_, nullptr, 0, kPollMs, nullptr));
    Check(curl_multi_perform(multi_, &num_running));
    std::vector<SourcedAnswer> finished;
    int num_left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_, &num_left)) {
      if (message->msg == CURLMSG_DONE) Finish(message->easy_handle, message->data.result, finished);
    }
    return finished;
  }

 private:
  static void Check(CURLMcode code) {
    if (code != CURLM_OK) throw std::runtime_error(curl_multi_strerror(code));
  }

  void Send(std::unique_ptr<Exchange> exchange) {
    CURL* easy = curl_easy_init();
    if (easy == nullptr) throw std::runtime_error("libcurl has no memory");
    exchange->response.clear();
    ++exchange->tries;
    curl_easy_setopt(easy, CURLOPT_URL, url_.c_str());
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers_);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, exchange->body.c_str());
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(exchange->body.size()));
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, TakeBytes);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange.get());
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT, kAnswerSeconds);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    Check(curl_multi_add_handle(multi_, easy));
    running_[easy] = std::move(exchange);
  }

  void SendAgain() {
    for (auto at = waiting_.begin(); at != waiting_.end();) {
      if ((*at)->next_try > Clock::now()) {
        ++at;
        continue;
      }
      Send(std::move(*at));
      at = waiting_.erase(at);
    }
  }

  void Finish(CURL* easy, CURLcode code, std::vector<SourcedAnswer>& finished) {
    std::unique_ptr<Exchange> exchange = std::move(running_.at(easy));
    running_.erase(easy);
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_multi_remove_handle(multi_, easy);
    curl_easy_cleanup(easy);
    const std::string where = fmt::format("{}: {}", Printable(url_, 200), exchange->name);
    if (code == CURLE_OK && status == 200) {
      finished.push_back(ParseChatCompletion(exchange->response, where));
      finished.back().ticket = exchange->ticket;
      return;
    }
    const std::string fault = code != CURLE_OK
                                  ? curl_easy_strerror(code)
                                  : fmt::format("status {}: {}", status, RefusalText(exchange->response));
    const bool may_pass = code == CURLE_OK ? status == 429 || status >= 500 : MayPass(code);
    if (!may_pass && code == CURLE_OK) throw Error(where, fault);
    if (!may_pass || exchange->tries == kMaxTries) {
      throw std::runtime_error(fmt::format("{}: {} (tried {} times)", where, fault, exchange->tries));
    }
    const double pause_s = options_.first_pause_s * (1 << (exchange->tries - 1));
    exchange->next_try =
        Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(pause_s));
    waiting_.push_back(std::move(exchange));
  }

  EndpointOptions options_;
  std::string url_;
  CURLM* multi_ = nullptr;
  curl_slist* headers_ = nullptr;
  int64_t last_ticket_ = 0;
  std::map<CURL*, std::unique_ptr<Exchange>> running_;
  std::deque<std::unique_ptr<Exchange>> waiting_;
};

}  // namespace

std::unique_ptr<AnswerSource> MakeEndpointAnswers(const EndpointOptions& options) {
  return std::make_unique<EndpointAnswers>(options);
}

}  // namespace fourstep
