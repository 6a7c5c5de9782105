--liquibase formatted sql
--changeset you:0001
CREATE TABLE jobs (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload text NOT NULL);
INSERT INTO jobs (payload) VALUES ('a row that is there already');
