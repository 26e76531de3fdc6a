-- The place of the incidents' migration.

-- +goose Up

SELECT 1;
