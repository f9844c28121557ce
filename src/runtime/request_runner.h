// RequestRunner: the requests that an engine answers, step by step on a backend. What the thread that steps
// has, and no other.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "backend/backend.h"
#include "fourstep/engine.h"
#include "model/model.h"
#include "runtime/answer.h"
#include "runtime/scheduler.h"

namespace fourstep {

// How far a device may run ahead of what the host has read.
inline constexpr int32_t kMaxUnreadSteps = 4;

// A request from its Submit to its last event.
struct RequestWork {
  Sequence sequence;
  Answer answer;
};

class RequestRunner {
 public:
  // `model` is bound to `backend`, whose boundary tokens are set.
  RequestRunner(std::unique_ptr<Backend> backend, std::unique_ptr<Model> model,
                const SchedulerOptions& options);

  void Add(std::unique_ptr<RequestWork> work);
  // Ends it with kCancelled; unknown and finished ids are ignored. Appends to `events`, as what follows.
  void Cancel(RequestId id, std::vector<Event>& events);
  void Step(std::vector<Event>& events);

  const Scheduler& scheduler() const { return scheduler_; }

 private:
  bool RunStep(std::vector<Event>& events);  // false: there was nothing to compute
  void Begin(const Sequence& sequence, std::vector<Event>& events);
  void Deliver(const DrawResult& record, std::vector<Event>& events);
  void Finish(RequestWork& work, Event event, std::vector<Event>& events);

  const std::unique_ptr<Backend> backend_;
  const std::unique_ptr<Model> model_;
  Scheduler scheduler_;
  std::unordered_map<RequestId, std::unique_ptr<RequestWork>> works_;
};

}  // namespace fourstep
