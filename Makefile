# The commands of the README, for those who like make.
.PHONY: run demo test bench generate
run:
	go run ./cmd/breakwater
demo:
	go run ./cmd/breakwater demo
test:
	bash scripts/test.sh
bench:
	go run ./cmd/bench
generate:
	go generate ./...
