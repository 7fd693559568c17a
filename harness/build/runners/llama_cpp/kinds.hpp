// One function a kind of job. Each throws when it cannot finish.
#pragma once

#include "events.hpp"
#include "job.hpp"

namespace bench {

void run(const SpeedJob & job, Events & events);
void run(const MemoryJob & job, Events & events);
void run(const LoadJob & job, Events & events);
void run(const SustainedJob & job, Events & events);
void run(const ScoreJob & job, Events & events);
void run(const ReferenceJob & job, Events & events);
void run(const GenerateJob & job, Events & events);
void run(const TokenizeJob & job, Events & events);
void run(const BandwidthJob & job, Events & events);
void run(const QuantizeJob & job, Events & events);

// The two halves of a score job, with the requests' two forms.
void run_scoring(const ScoreJob & job, Events & events);
void run_distance(const ScoreJob & job, Events & events);

}
