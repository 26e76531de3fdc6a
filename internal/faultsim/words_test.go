package faultsim

// The words around the tables.
const (
	preface = `# Fault simulation

What faults of providers cost callers, measured on a virtual clock: the real router with its retries, breakers, rings of
keys and holds, and the real detector, between simulated callers and stubs of three providers. Written by

    go test ./internal/faultsim -run Table -timeout 3h -v -args -full -update

- **Traffic**: sizes and gaps of the %s, stretched to 1, 5, 20, 60 and 600 requests a minute; by day 2.2 times as
  many as at night; four tenants with 60, 25, 10 and 5 %% of them. All answers are streamed.
- **Providers**: A (Claude), B (OpenAI), and C, a local server with 30 %% of the room of A, which is 90 %% of all requests. A first token comes after 0.5 s for a
  small prompt, a token each 20 ms, with a spread of 0.25 and 0.15 (logarithms), a load that swings by the day, and outliers: 1 %% of
  first tokens and 0.5 %% of paces are 2 to 30 times as slow. Some requests fail by nobody's fault, by a Markov chain over time.
- **Available** is a request that got a whole, meaningful answer; **good** one that also had its first token within 10 s and came at
  less than twice the pace usual for the hour. The outliers of providers that are well alone keep good below about 99.5 %%, for an
  oracle that knows every fault, too; "outliers apart" counts an answer as good that was slow by such an outlier alone.
- **Found** is when traffic is kept away from the target, be it by its breaker, by a hold of the detector, or because its key cools
  down after a 429. Requests until then count all that arrived, those under way included: at 60 a minute and answers of five
  seconds some five are always under way, at 600 some fifty.
- Runs of each fault: %s. The fault begins in a healthy house that has seen an hour of traffic, and lasts an hour (at 600/min 20
  minutes each); then an hour more is watched.

The pauses of the router's retries are random, so that figures differ a little from run to run.
`
	acceptanceWords = `Missed incidents, slow returns and flaps are listed only where they break their bound. "Answers until found" are the
requests of the fault that were over by then. What does not hold, and why:

- **Few requests**: at one a minute every request is a canary, and the least that any rule needs [is more than the bound](#what-can-be-had-at-one-request-a-minute)
  where a quarter or less of the answers is bad. After half of them the limit is just within it, and a rest after a bad canary
  comes on top. Slow answers until a slow provider is found, and as canaries, are a large share where there are few requests.
- **Streams cut in 30 %** fail in 20 %, since the cut comes within 200 tokens and many answers are shorter: less than what is
  tested for. In the median 25 requests of an hour's 60 are needed at one a minute, where they are found; half of the flaps are of the
  breaker, which closes before the detector has found enough to hold.
- **Many requests**: the evidence that is asked for grows with the requests a minute, and what is under way when a provider becomes
  slow is lost on it: an answer's speed is known at its end.
- **Hangs** are known when a first byte is far out of the ordinary: after ten seconds here, and five where a request tries whether the
  provider is well again. One in four of those who wait so long is waited for to the end (` + "`timeouts.first_token`" + `). The simpler
  policies wait a minute for each.
- **A part of the answers slow** is hardly found: the tests look at means, and a fifth moves them too little.
- **Text that goes in circles** has the form of a good answer, and its caller gets it: what its end says is looked at for the detector
  alone.
- **Poison prompts** of a tenant cost that tenant its answers, and the others next to none: what fails everywhere is put down to the
  request where one of the providers serves others. At one request a minute nobody else may have been served within the last minute,
  so that breakers open now and then; and where the poison ends, B may be left for a minute for what failed there and C served.
- **Overload**: B takes all of A's requests then. Now and then three of its usual failures come in a row and open its breaker for a minute, in
  which nobody else has room. It is sent some as a last resort then (` + "`breaker.last_resort`" + `), and more with each that it answers. Of the
  30 runs at 60 a minute 0.03 % of the requests are lost all the same; of 150 more none lost more than five.
- **A slow ramp** is called well about once before its end; in one of the thirty runs at 60 a minute twice.
- **Flapping** each minute is left to the breaker: the minute that goes well takes all evidence away. Callers lose nothing by it.
- **Little room elsewhere**: with A down and B at half the traffic, B and C together have room for nearly all, but not for what comes
  at once, and for less while they recover from a refusal. A request that finds none waits in line for up to half a minute
  (` + "`queue.wait`" + `): about as many are answered as by an oracle that knows no line, or more, and fewer of them soon enough to be good. With
  8 s instead, 1 to 5 % fewer are answered, and all but 1 % of those well.
- **Two in trouble at once**: for 35 minutes of the 30 days at 60/min A is down while half of B's requests fail. B's breaker is open most
  of that time, and C has room for three quarters. The rest is sent to B as a last resort, and what fails there waits for C. The oracle asks
  B for the rest, too, but knows no line: it loses 13 % of those requests.
- **Rate limits** keep traffic away for as long as the provider asks: one Retry-After of three hours in fifty is what returns late.`
	limitWords = `The least that a rule can have which looks at canaries alone, each request being one, and which calls a provider well
that is still ill once in the hour of a fault at most: so many good canaries in a row (as long as a bad one outweighs all of a row's good
ones no rule is sooner), counted exactly, and how long they take to come in this traffic from the end of the fault on, without those of a
row that is under way by then. Within ten minutes five requests come in 95 of 100 cases, not ten. Breakwater rests after a bad canary, and
does not know the share beforehand. Its own figures can be lower all the same: a provider that was called well wrongly must be found
to be ill anew, and where the fault ends before that, it counts as back at once.`
	singleWords = `Figures in brackets are the 95th percentile; where volumes differ they are those of 1 / 5 / 20 / 60 / 600 requests a
minute. Available and good are of the requests that came during the fault. A flap is a return while the fault lasts.
What was not back when the run ended counts there with all the time that was watched after the fault.`
	burstyWords = `One request in a hundred fails by nobody's fault, in bursts of two.`
	policyWords = `Days of incidents as public records of providers have them: gaps of 5.5 days, 65 minutes in the median, all kinds as
often as seen; blips of 5 to 45 s twice a day; each month some minutes in which nobody can be reached from this side, whose
requests are left out of the shares. Simple policies are models of a few lines, without breakers or retries: only the detector in
"detector only" is the real one. 60 days at 5, 30 at 60, 3 at 600 requests a minute.`
	controlWords = `"Detector alone" gives every provider all of the requests, more than any of them would see, and looks at the detector
without a router: the volumes at which every request through the router would take too long. A hold here is a false one.`
)
