#include "runtime/request_runner.h"

#include <utility>

#include "base/error.h"

namespace fourstep {

RequestRunner::RequestRunner(std::unique_ptr<Backend> backend, std::unique_ptr<Model> model,
                             const SchedulerOptions& options)
    : backend_(std::move(backend)), model_(std::move(model)), scheduler_(options) {}

void RequestRunner::Add(std::unique_ptr<RequestWork> work) {
  scheduler_.Add(work->sequence);
  const RequestId id = work->sequence.id;
  works_.emplace(id, std::move(work));
}

void RequestRunner::Cancel(RequestId id, std::vector<Event>& events) {
  const auto found = works_.find(id);
  if (found == works_.end()) return;
  RequestWork& work = *found->second;
  Finish(work, work.answer.End(FinishReason::kCancelled), events);
}

void RequestRunner::Step(std::vector<Event>& events) {
  const bool has_run = RunStep(events);
  const bool wait = !has_run || scheduler_.max_unread() >= kMaxUnreadSteps;
  for (const DrawResult& record : backend_->ReadRecords(wait)) Deliver(record, events);
}

bool RequestRunner::RunStep(std::vector<Event>& events) {
  const StepPlan& plan = scheduler_.Plan();
  for (const Sequence* sequence : plan.begun) Begin(*sequence, events);
  if (plan.empty()) return false;
  const Batch batch = plan.batch();
  backend_->BeginStep(batch);
  model_->Forward();
  backend_->Draw();
  backend_->EndStep();
  return true;
}

// A request that asks for more than the backend has memory for ends alone. Its rows are planned: they are
// computed, and what is drawn of them is dropped.
void RequestRunner::Begin(const Sequence& sequence, std::vector<Event>& events) {
  try {
    backend_->SetSlot(sequence.slot, sequence.sampling, sequence.prompt());
  } catch (const Error& error) {
    backend_->SetSlot(sequence.slot, {}, {});
    RequestWork& work = *works_.at(sequence.id);
    Finish(work, work.answer.End(FinishReason::kError, error.what()), events);
  }
}

void RequestRunner::Deliver(const DrawResult& record, std::vector<Event>& events) {
  const Sequence* sequence = scheduler_.Accept(record);
  if (sequence == nullptr) return;  // drawn after the end
  RequestWork& work = *works_.at(sequence->id);
  Event event = work.answer.Take(record);
  if (event.finish == FinishReason::kNone) {
    events.push_back(std::move(event));
  } else {
    Finish(work, std::move(event), events);
  }
}

void RequestRunner::Finish(RequestWork& work, Event event, std::vector<Event>& events) {
  event.prompt_tokens = work.sequence.num_prompt;
  event.reused_tokens = work.sequence.num_reused;
  scheduler_.Finish(work.sequence);
  works_.erase(event.request);
  events.push_back(std::move(event));
}

}  // namespace fourstep
