FROM maven:3.9-eclipse-temurin-17 AS build
WORKDIR /app
COPY . .
RUN sh ./mvnw -B -DskipTests clean dependency:list install

FROM eclipse-temurin:17-jre
WORKDIR /app
COPY --from=build /app /app
ENV PORT=8080
EXPOSE 8080
