# The commands of the README, for those who like make.
.PHONY: run demo test generate
run:
	go run ./cmd/breakwater
demo:
	go run ./cmd/breakwater demo
test:
	bash scripts/test.sh
generate:
	go generate ./...
