FROM maven:3.9-eclipse-temurin-21 AS build
WORKDIR /app
COPY . .
RUN sh ./gradlew build -x check

FROM eclipse-temurin:21-jre
WORKDIR /app
COPY --from=build /app /app
ENV PORT=8080
EXPOSE 8080
