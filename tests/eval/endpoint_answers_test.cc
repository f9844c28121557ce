#include "eval/endpoint_answers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <mutex>
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "eval/stand_in_server.h"

namespace fourstep {
namespace {

using testing::HasSubstr;

Question QuestionOf(const std::string& text) {
  Question question{.name = "q " + text, .text = text, .max_tokens = 50};
  question.sampling.policy = "fixed";
  question.sampling.temperature = 0.5;
  question.sampling.top_p = 0.9;
  question.sampling.seed = 0xffff'ffff'0000'0007u;
  return question;
}

std::string Completion(const Json& message, const std::string& finish) {
  return StandInServer::Response(200,
                                 DumpJson({{"choices", {{{"message", message}, {"finish_reason", finish}}}},
                                           {"usage", {{"completion_tokens", 9}}}}));
}

// An answer that says what was asked.
std::string Echo(const StandInServer::Request& request) {
  const Json body = Json::parse(request.body);
  return Completion({{"role", "assistant"}, {"content", body["messages"][0]["content"]}}, "stop");
}

EndpointOptions Options(const StandInServer& server, int32_t parallel = 4) {
  return {
      .url = server.url(), .model = "m", .api_key = "secret", .parallel = parallel, .first_pause_s = 0.01};
}

std::vector<SourcedAnswer> WaitForAll(AnswerSource& source, size_t count) {
  std::vector<SourcedAnswer> answers;
  while (answers.size() < count) {
    for (SourcedAnswer& answer : source.Wait()) answers.push_back(std::move(answer));
  }
  return answers;
}

std::string FaultOf(StandInServer::Handler handler, bool is_error) {
  StandInServer server(std::move(handler));
  const std::unique_ptr<AnswerSource> source = MakeEndpointAnswers(Options(server));
  source->Submit(QuestionOf("one"));
  try {
    (void)WaitForAll(*source, 1);
  } catch (const std::exception& fault) {
    EXPECT_EQ(dynamic_cast<const Error*>(&fault) != nullptr, is_error) << fault.what();
    return fault.what();
  }
  return "no fault";
}

TEST(EndpointAnswers, AsksWhatWasMeant) {
  std::mutex mutex;
  StandInServer::Request seen;
  StandInServer server([&](const StandInServer::Request& request) {
    const std::lock_guard lock(mutex);
    seen = request;
    return Echo(request);
  });
  const std::unique_ptr<AnswerSource> source = MakeEndpointAnswers(Options(server));
  const int64_t ticket = source->Submit(QuestionOf("17*23"));
  const SourcedAnswer answer = WaitForAll(*source, 1).at(0);
  EXPECT_EQ(answer.ticket, ticket);
  EXPECT_EQ(answer.response, "17*23");
  EXPECT_EQ(answer.finish, FinishReason::kStop);
  EXPECT_EQ(answer.num_tokens, 9);
  const std::lock_guard lock(mutex);
  EXPECT_THAT(seen.head, HasSubstr("POST /v1/chat/completions HTTP/1.1"));
  EXPECT_THAT(seen.head, HasSubstr("Authorization: Bearer secret"));
  const Json expected = Json::parse(R"({"model": "m", "messages": [{"role": "user", "content": "17*23"}],
    "max_tokens": 50, "temperature": 0.5, "top_p": 0.9, "seed": 7, "stream": false})");
  EXPECT_EQ(Json::parse(seen.body), expected);
}

TEST(EndpointAnswers, AsksSeveralAtATime) {
  std::atomic<int> inside = 0;
  std::atomic<int> most = 0;
  StandInServer server([&](const StandInServer::Request& request) {
    const int now = ++inside;
    for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
    }
    for (int i = 0; i < 500 && most < 4; ++i) usleep(10'000);  // until the others are there
    --inside;
    return Echo(request);
  });
  const std::unique_ptr<AnswerSource> source = MakeEndpointAnswers(Options(server));
  std::map<int64_t, std::string> asked;
  for (int i = 0; i < 4; ++i) {
    const std::string text = std::to_string(i);
    asked[source->Submit(QuestionOf(text))] = text;
  }
  for (const SourcedAnswer& answer : WaitForAll(*source, 4))
    EXPECT_EQ(answer.response, asked.at(answer.ticket));
  EXPECT_EQ(most, 4);
}

TEST(EndpointAnswers, PutsReasoningTogether) {
  StandInServer server([](const StandInServer::Request&) {
    return Completion({{"reasoning_content", "thus"}, {"content", "\\boxed{1}"}}, "length");
  });
  const std::unique_ptr<AnswerSource> source = MakeEndpointAnswers(Options(server));
  source->Submit(QuestionOf("one"));
  const SourcedAnswer answer = WaitForAll(*source, 1).at(0);
  EXPECT_EQ(answer.response, "<think>\nthus\n</think>\n\n\\boxed{1}");
  EXPECT_EQ(answer.finish, FinishReason::kLength);
}

TEST(EndpointAnswers, TriesAgainWhatMayPass) {
  std::atomic<int> count = 0;
  StandInServer server([&](const StandInServer::Request& request) -> std::string {
    switch (count++) {
      case 0:
        return StandInServer::Response(503, "busy");
      case 1:
        return "";  // hangs up
      case 2:
        return StandInServer::Response(429, "");
      case 3:
        return "HTTP/1.1 200 X\r\nContent-Length: 1000\r\n\r\n{\"choices\"";  // hangs up half way
      default:
        return Echo(request);
    }
  });
  const std::unique_ptr<AnswerSource> source = MakeEndpointAnswers(Options(server));
  source->Submit(QuestionOf("one"));
  EXPECT_EQ(WaitForAll(*source, 1).at(0).response, "one");
  EXPECT_EQ(count, 5);
}

TEST(EndpointAnswers, SaysWhatFails) {
  const auto status = [](int code, const std::string& body) {
    return [=](const StandInServer::Request&) { return StandInServer::Response(code, body); };
  };
  EXPECT_THAT(FaultOf(status(400, R"({"error":{"message":"no such\nmodel"}})"), true),
              testing::AllOf(HasSubstr("q one"), HasSubstr("status 400"), HasSubstr("no such\\x0amodel")));
  EXPECT_THAT(FaultOf(status(401, "who are you"), true), HasSubstr("who are you"));
  EXPECT_THAT(FaultOf(status(500, "on fire"), false), HasSubstr("on fire (tried 6 times)"));
  EXPECT_THAT(FaultOf(status(200, "<html>"), true), HasSubstr("JSON"));
  EXPECT_THAT(FaultOf(status(200, R"({"choices":[]})"), true), HasSubstr("choices"));
  EXPECT_THAT(FaultOf(status(200, R"({"choices":[{"message":7}]})"), true), HasSubstr("message"));
  const EndpointOptions nobody{.url = "http://127.0.0.1:1", .model = "m", .first_pause_s = 0.001};
  const std::unique_ptr<AnswerSource> source = MakeEndpointAnswers(nobody);
  source->Submit(QuestionOf("one"));
  EXPECT_THROW(WaitForAll(*source, 1), std::runtime_error);
  EXPECT_THROW(MakeEndpointAnswers({.url = "file:///etc/passwd", .model = "m"}), Error);
}

}  // namespace
}  // namespace fourstep
